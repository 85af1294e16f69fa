"""Implement `burnish report`: show, or write to files, what a retrain of an agent measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json, print_table

_FLIPS = 10  # of each kind, in a terminal
_PRICE = "US dollars per million {} tokens, for costs."


def report_app(
    agent: Annotated[str, typer.Argument(help="Agent, as declared in burnish.toml.")],
    run: Annotated[
        str | None,
        typer.Option(help="A retrain, such as retrain-support-0003.", show_default="newest"),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with pictures to this file.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write Markdown, for a pull request, to this file.")
    ] = None,
    price_in: Annotated[float, typer.Option(min=0, help=_PRICE.format("input"))] = 0.0,
    price_out: Annotated[float, typer.Option(min=0, help=_PRICE.format("output"))] = 0.0,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show what a retrain measured: success, flips, cost, calls, failure modes and the gate's reasons.

    Examples: `burnish report support`, `burnish report support --html report.html --markdown report.md`
    """
    import burnish
    from burnish_trainer.report import (
        Prices,
        assemble_report,
        find_report,
        render_markdown,
        render_page,
    )

    workspace = burnish.Workspace(home)
    found = find_report(workspace.home, agent, run)
    if found.evaluation is None:
        raise AssertionError("find_report returns evaluated retrains only")
    facts = assemble_report(
        found.evaluation, workspace, retrain=found, prices=Prices(price_in, price_out)
    )
    for path, render in ((html, render_page), (markdown, render_markdown)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(render(facts), encoding="utf-8")
    if as_json:
        print_json(facts)
    else:
        _print_report(facts, [path for path in (html, markdown) if path is not None])


def _print_report(facts: dict[str, Any], written: list[Path]) -> None:
    from burnish_trainer.report.tables import describe_result, list_tables

    typer.echo(describe_result(facts))
    for table in list_tables(facts, flips=_FLIPS):
        print_table(table.title, table.columns, table.rows)
        if table.note:
            typer.echo(table.note)
    for path in written:
        typer.echo(f"written to {path}")
