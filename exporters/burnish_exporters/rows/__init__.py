"""Turn a verified trajectory into rows: the exact conversations that a model can learn from.

The order of the work: messages in chat form (chat.py), calls joined into contexts (contexts.py),
the rules for a usable row (validity.py), the keys by which rows are compared (keys.py).
`build_rows` is the entry.
"""

from __future__ import annotations

from burnish_exporters.rows.chat import Unrenderable, to_chat
from burnish_exporters.rows.contexts import RowContext, join_contexts
from burnish_exporters.rows.row import Row, build_rows

__all__ = ["Row", "RowContext", "Unrenderable", "build_rows", "join_contexts", "to_chat"]
