"""Write a report as Markdown, for a pull request."""

from __future__ import annotations

import re
from typing import Any

from burnish.cli.output import make_visible
from burnish_trainer.report.table_cells import ReportTable
from burnish_trainer.report.tables import describe_result, list_tables

_MARKS = re.compile(r"([\\`*_\[\]<>|#])")


def render_markdown(facts: dict[str, Any]) -> str:
    """Return a report as Markdown.

    Args:
        facts: As `assemble_report` returns them.
    """
    lines = [f"## {_escape(facts['agent'])}", "", _escape(describe_result(facts)), ""]
    for table in list_tables(facts):
        lines += _render_table(table)
    return "\n".join(lines).rstrip() + "\n"


def _render_table(table: ReportTable) -> list[str]:
    if not table.rows:
        return [f"### {_escape(table.title)}", "", f"Not measured: {_escape(table.missing)}.", ""]
    rows = [table.columns, ["---"] * len(table.columns), *table.rows]
    lines = [f"### {_escape(table.title)}", ""]
    for number, row in enumerate(rows):
        cells = row if number == 1 else map(_escape, row)
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", *([_escape(table.note), ""] if table.note else [])]


def _escape(text: str) -> str:
    """Escape marks, because names of tasks and reasons may hold the words of a model."""
    return _MARKS.sub(r"\\\1", make_visible(" ".join(text.split())))
