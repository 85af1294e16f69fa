"""Write a report as one self-contained page of HTML, with pictures.

The page needs nothing from elsewhere, follows a dark scheme, and fits a width of 320 pixels: wide tables and pictures scroll
in themselves. Pictures carry their figures as text, and each table has a caption and named rows.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from typing import Any

from burnish.cli.output import make_visible
from burnish_trainer.report import pictures
from burnish_trainer.report.sides import SIDES
from burnish_trainer.report.table_cells import ReportTable
from burnish_trainer.report.tables import describe_result, list_tables, name_anchor, name_flip

Json = dict[str, Any]

_NUMBER = re.compile(r"[-+0-9.,%\[\] e]*( of \d+)?")
_LONGEST = 32  # characters of a number; ids of runs are longer

_STYLE = """
:root { color-scheme: light dark; --ink: #26323b; --paper: #fbfaf7; --soft: #56636c; --line: #c9d0cc; --code: #f0efe9;
        --link: #14597f; --old: #7f8d97; --new: #1f7a5c; --bad: #b5413a }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ea; --paper: #14191d; --soft: #a3b0b8; --line: #3a454d; --code: #1f262b;
          --link: #8cc4ea; --old: #8494a0; --new: #4fbf95; --bad: #e8857e } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 76rem;
       margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere }
h1 { font-weight: 600; letter-spacing: -.01em; line-height: 1.2 } h2 { margin-top: 2.4rem; font-size: 1.1rem }
h3 { font-size: 1rem; margin: .4rem 0 }
a { color: var(--link) } nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem }
.scroll { overflow-x: auto; position: relative } .scroll:focus-visible, a:focus-visible, summary:focus-visible {
  outline: 2px solid var(--link); outline-offset: 2px }
.scroll svg { min-width: 34rem } svg { max-width: 100%; height: auto }
table { border-collapse: collapse; width: 100%; overflow-wrap: normal }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
.note { color: var(--soft); font-size: .85rem; margin: .3rem 0 }
th, td { text-align: left; padding: .25rem .6rem; vertical-align: top; font-weight: normal }
thead th { font-weight: 600 } .number { text-align: right } td.number { white-space: nowrap }
tr + tr > *, thead + tbody > tr:first-child > * { border-top: 1px solid var(--line) }
small, .soft { color: var(--soft) } .big { font-size: 1.9rem; line-height: 1.2; margin: .6rem 0 } .bad { color: var(--bad) }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(16rem, 100%), 1fr)); gap: 0 1.5rem }
.pair ol { padding-left: 1.2rem } details { border-top: 1px solid var(--line); padding: .3rem 0 }
pre { overflow: auto; background: var(--code); padding: 1rem; font-size: .8rem }
@media (max-width: 40rem) { tbody th { position: sticky; left: 0; background: var(--paper); max-width: 9rem; overflow-wrap: break-word } }
@media print { details:not([open]) { display: none } }
"""


def render_page(facts: Json) -> str:
    """Return a report as HTML.

    Args:
        facts: As `assemble_report` returns them.
    """
    tables = list_tables(facts)
    parts = [f"<h1>{_escape(facts['agent'])} on {_escape(facts['base_model'])}</h1>"]
    if "heldout" in facts["pools"]:
        rates = [100 * facts["pools"]["heldout"][side]["rate"] for side in facts["sides"]]
        shown = " → ".join(f"{rate:.1f} %" for rate in rates)
        parts.append(f"<p class=big>{shown} of held-out tasks</p>")
    parts.append(f"<p>{_escape(describe_result(facts))}</p>")
    parts.append(_render_contents([table.title for table in tables]))
    drawn = dict(_draw_pictures(facts))
    for table in tables:
        parts += _render_section(table, drawn.get(table.title))
    parts += _render_runs(facts)
    return wrap_page(f"{facts['agent']}: {facts['names']['after']}", parts)


def wrap_page(title: str, parts: Iterable[str]) -> str:
    """Return a whole page.

    Args:
        title: Title of the page, as text.
        parts: Its parts, as HTML.
    """
    body = "\n".join(parts)
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{_escape(title)}</title>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<style>{_STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def make_scrollable(part: str, name: str) -> str:
    """Return a wide part of a page in a frame of its own that scrolls, by keyboard too.

    Args:
        part: The part, as HTML.
        name: What it holds, for readers who do not see it.
    """
    return f'<div class=scroll role=region tabindex=0 aria-label="{_escape(name)}">{part}</div>'


def _draw_pictures(facts: Json) -> Iterator[tuple[str, str]]:
    """Yield each picture with the title of the table that it belongs to."""
    pools = list(facts["pools"].items())
    if pools:
        sides = [
            (facts["names"][side], [_read_cell(pool[side]) for _, pool in pools])
            for side in facts["sides"]
        ]
        yield "Success", pictures.draw_rates([name for name, _ in pools], sides)
    arms = [one for one in facts["arms"].get("arms", []) if "rate" in one["success"]]
    if len(arms) > 1:
        cells = [(one["name"], _read_cell(one["success"])) for one in arms]
        yield "Arms", pictures.draw_arms(cells)
    if len(facts["rounds"]) > 1:
        yield "Rounds", _draw_rounds(facts["rounds"])
    points = facts["learning"]["after"].get("points", [])
    if len(points) > 1:
        yield "Learning curve", pictures.draw_curve(points)


def _draw_rounds(rounds: list[Json]) -> str:
    most = max((int(k) for one in rounds for k in one["pass_at"]), default=1)
    lines: list[tuple[str, list[pictures.RateCell | None]]] = [
        ("success", [_read_cell(one["success"]) for one in rounds])
    ]
    if most > 1:
        several = [one["pass_at"].get(str(most)) for one in rounds]
        lines.append((f"pass@{most}", [_read_cell(one) if one else None for one in several]))
    return pictures.draw_trend([one["name"] for one in rounds], lines)


def _read_cell(rate: Json) -> pictures.RateCell:
    """Return a rate with the ends of its interval; without an interval, its own value."""
    return rate["rate"], (rate.get("low", rate["rate"]), rate.get("high", rate["rate"]))


def _render_contents(titles: Iterable[str]) -> str:
    links = "".join(f'<li><a href="#{_name_section(t)}">{_escape(t)}</a></li>' for t in titles)
    return f"<nav aria-label=Sections><ul>{links}</ul></nav>"


def _render_section(table: ReportTable, picture: str | None) -> list[str]:
    parts = [f'<h2 id="{_name_section(table.title)}">{_escape(table.title)}</h2>']
    if not table.rows:
        return [*parts, f"<p>Not measured: {_escape(table.missing)}.</p>"]
    if picture is not None:
        parts.append(make_scrollable(picture, f"{table.title}, picture"))
    classes = _list_classes(table)
    head = "".join(
        f"<th scope=col{marked}>{_escape(name)}</th>"
        for name, marked in zip(table.columns, classes, strict=True)
    )
    anchors = [*table.anchors, *[""] * (len(table.rows) - len(table.anchors))]
    rows = [
        _render_row(row, classes, anchor) for row, anchor in zip(table.rows, anchors, strict=True)
    ]
    if table.note:
        parts.append(f"<p class=note>{_escape(table.note)}</p>")
    caption = f"<caption>{_escape(table.title)}</caption>"
    body = f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return [*parts, make_scrollable(body, table.title)]


def _render_row(row: list[str], classes: list[str], anchor: str) -> str:
    name = _escape(row[0])
    first = f'<a href="#{anchor}">{name}</a>' if anchor else name
    cells = (
        f"<td{marked}>{_escape(cell)}</td>"
        for cell, marked in zip(row[1:], classes[1:], strict=True)
    )
    return f"<tr><th scope=row>{first}</th>{''.join(cells)}</tr>"


def _list_classes(table: ReportTable) -> list[str]:
    """Return the class of each column; one of numbers alone is aligned to the right."""
    columns = zip(*table.rows, strict=True)
    return [" class=number" * all(map(_is_number, cells)) for cells in columns]


def _is_number(cell: str) -> bool:
    return len(cell) < _LONGEST and _NUMBER.fullmatch(cell) is not None


def _render_runs(facts: Json) -> Iterator[str]:
    """Yield both runs of each flipped task side by side, closed until a reader opens them."""
    shown = [
        (name, flip)
        for name in ("broken", "fixed")
        for flip in facts["flips"][name]
        if "steps" in flip
    ]
    if not shown:
        return
    yield "<h2 id=runs>Runs side by side</h2>"
    for name, flip in shown:
        halves = "".join(
            f"<section><h3>{_escape(facts['names'][side])}</h3>{_render_steps(flip, side)}</section>"
            for side in SIDES
        )
        title = f"{name}: {name_flip(flip)} ({flip['pool']})"
        yield (
            # A browser opens the details that hold the target of a link.
            f"<details><summary>{_escape(title)}</summary>"
            f'<div class=pair id="{name_anchor(flip)}">{halves}</div></details>'
        )


def _render_steps(flip: Json, side: str) -> str:
    steps = flip["steps"][side]
    if steps is None:
        return "<p>This run is not in the workspace any more.</p>"
    rows = "".join(
        f"<li><b>{_escape(one['step'])}</b>{' <span class=bad>failed</span>' * one['failed']} "
        f"{_escape(one['text'])}</li>"
        for one in steps
    )
    return f"<ol>{rows}</ol><p class=soft>run {_escape(flip[side] or '-')}</p>"


def _name_section(title: str) -> str:
    return "section-" + "".join(char if char.isalnum() else "-" for char in title.lower())


def _escape(value: object) -> str:
    return html.escape(make_visible(str(value)))
