"""Write a report as one self-contained page of HTML, with pictures."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

from burnish.cli.output import make_visible
from burnish_trainer.report import pictures
from burnish_trainer.report.table_cells import ReportTable
from burnish_trainer.report.tables import describe_result, list_tables

Json = dict[str, Any]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #26323b; background: #fbfaf7; max-width: 52rem; margin: 3rem auto;
       padding: 0 1.2rem }
h1 { font-weight: 600; letter-spacing: -.01em } h2 { margin-top: 2.4rem; font-size: 1.1rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: right; padding: .25rem .6rem }
th:first-child, td:first-child { text-align: left } tr + tr td { border-top: 1px solid #dfe3e0 }
td small { color: #6a7780 } .big { font-size: 1.9rem } svg { max-width: 100%; height: auto }
pre { overflow: auto; background: #f0efe9; padding: 1rem; font-size: .8rem }
"""


def render_page(facts: Json) -> str:
    """Return a report as HTML.

    Args:
        facts: As `assemble_report` returns them.
    """
    pools = list(facts["pools"].items())
    parts = [f"<h1>{_escape(facts['agent'])} on {_escape(facts['base_model'])}</h1>"]
    sides = facts["sides"]
    if "heldout" in facts["pools"]:
        rates = [100 * facts["pools"]["heldout"][side]["rate"] for side in sides]
        shown = " → ".join(f"{rate:.1f} %" for rate in rates)
        parts.append(f"<p class=big>{shown} of held-out tasks</p>")
    parts.append(f"<p>{_escape(describe_result(facts))}</p>")
    if pools:
        arms = [
            (
                facts["names"][side],
                [
                    (pool[side]["rate"], (pool[side]["low"], pool[side]["high"]))
                    for _, pool in pools
                ],
            )
            for side in sides
        ]
        parts.append(pictures.draw_rates([name for name, _ in pools], arms))
    parts += [part for table in list_tables(facts) for part in _render_table(table)]
    return wrap_page(f"{facts['agent']}: {facts['names']['after']}", parts)


def wrap_page(title: str, parts: Iterable[str]) -> str:
    """Return a whole page.

    Args:
        title: Title of the page, as text.
        parts: Its parts, as HTML.
    """
    body = "\n".join(parts)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{_escape(title)}</title>"
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style><body>{body}</body></html>\n"
    )


def _render_table(table: ReportTable) -> list[str]:
    head = "".join(f"<th>{_escape(name)}</th>" for name in table.columns)
    rows = [
        "<tr>" + "".join(f"<td>{_escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    ]
    if not table.rows:
        return [
            f"<h2>{_escape(table.title)}</h2>",
            f"<p>Not measured: {_escape(table.missing)}.</p>",
        ]
    parts = [
        f"<h2>{_escape(table.title)}</h2>",
        f"<table><tr>{head}</tr>{''.join(rows)}</table>",
    ]
    return [*parts, f"<p><small>{_escape(table.note)}</small></p>"] if table.note else parts


def _escape(value: object) -> str:
    return html.escape(make_visible(str(value)))
