"""Pages of the documentation that tests generate: written with BURNISH_WRITE_PAGE=1, else compared."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def check_page(name: str, text: str) -> None:
    """Compare a page with the present measurements."""
    path = DOCS / name
    if os.environ.get("BURNISH_WRITE_PAGE"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, (
        f"docs/{name} is not what the code does: run this test with BURNISH_WRITE_PAGE=1"
    )


def table(head: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """A Markdown table, one row per name."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    return "\n".join(lines)
