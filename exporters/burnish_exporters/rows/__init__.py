"""A verified trajectory becomes rows: the exact conversations that a model can learn from.

Knows: the order of the work: messages in chat form (chat.py), calls joined into contexts (contexts.py), what makes a
row unusable (validity.py), the keys by which rows are compared (keys.py).
Does not know: which trajectories are worth learning from (verify/, curate/), how rows are stored (dataset/).
"""

from __future__ import annotations

from burnish_exporters.rows.chat import Unrenderable, to_chat
from burnish_exporters.rows.contexts import Context, contexts_of
from burnish_exporters.rows.row import Row, build_rows

__all__ = ["Context", "Row", "Unrenderable", "build_rows", "contexts_of", "to_chat"]
