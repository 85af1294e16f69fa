"""Turn dataset rows into tokens and labels.

The order of the work: a row's calls as exact token contexts (calls.py), merged if one call's
context continues the last one (merge.py). `tokenise_rows` (token_rows.py) is the entry. Rows are never cut: a row
that is longer than the model or the recipe allows is dropped and counted.
"""

from __future__ import annotations

from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.rows.token_rows import RowReport, TokenRow, tokenise_rows

__all__ = ["IGNORE", "RowReport", "TokenRow", "tokenise_rows"]
