"""Implement `burnish report`: show, or write to files, what an evaluation or a retrain of an agent measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import format_time, print_json, print_table, print_wide_table
from burnish.files.output_files import check_output, write_output

if TYPE_CHECKING:
    from burnish_trainer.report.lookup import ReportedEvaluation

_FLIPS = 10  # of each kind, in a terminal


def report_app(
    agent: Annotated[str, typer.Argument(help="Agent, as declared in burnish.toml.")],
    run: Annotated[
        str | None,
        typer.Option(
            help="A retrain or an evaluation, such as retrain-support-0003.", show_default="newest"
        ),
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="List all evaluations and evaluated retrains.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with pictures to this file.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write Markdown, for a pull request, to this file.")
    ] = None,
    prices: Annotated[
        tuple[float, float],
        typer.Option(min=0, help="US dollars per million input tokens, and output tokens."),
    ] = (0.0, 0.0),
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show what an evaluation or a retrain measured: success, flips, cost, calls, failure modes, the gate's reasons.

    Every `burnish eval` and every retrain that reached its evaluation has a report.

    Examples: `burnish report support`, `burnish report support --list`,
    `burnish report support --html report.html --markdown report.md`
    """
    import burnish
    from burnish.agent_names import require_agent
    from burnish_trainer import report as reports

    outputs = [(path, name) for path, name in ((html, "--html"), (markdown, "--markdown")) if path]
    for path, name in outputs:
        check_output(path, name)
    workspace = burnish.Workspace(home)
    known = reports.list_reports(workspace.home, agent)
    if not known:
        require_agent(agent, workspace)
    if listed:
        _list_reports(agent, known, as_json)
        return
    found = reports.find_report(workspace.home, agent, run)
    facts = reports.assemble_report(found, workspace, prices=reports.Prices(*prices))
    renders = {"--html": reports.render_page, "--markdown": reports.render_markdown}
    for path, name in outputs:
        write_output(path, renders[name](facts), name)
    if as_json:
        print_json(facts)
    else:
        _print_report(facts, [path for path, _ in outputs])


def _print_report(facts: dict[str, Any], written: list[Path]) -> None:
    from burnish_trainer.report.tables import describe_result, list_tables

    typer.echo(describe_result(facts))
    for table in list_tables(facts, flips=_FLIPS):
        if not table.rows:
            typer.echo(f"{table.title}: not measured: {table.missing}")
            continue
        print_wide_table(table.title, table.columns, table.rows)
        if table.note:
            typer.echo(table.note)
    for path in written:
        typer.echo(f"written to {path}")


def _list_reports(agent: str, found: list[ReportedEvaluation], as_json: bool) -> None:
    rows = [_summarize(one) for one in found]
    if as_json:
        print_json(rows)
        return
    columns = ["report", "ended (UTC)", "before", "after", "held-out", "decision"]
    if not rows:
        print_table(f"reports of {agent}", columns, [])
        return
    print_wide_table(f"reports of {agent}", columns, ([*row.values()] for row in rows))


def _summarize(one: ReportedEvaluation) -> dict[str, Any]:
    from burnish_trainer.report.sides import name_sides

    evaluation = one.evaluation
    names = name_sides(evaluation)
    heldout = evaluation.pools.get("heldout")
    return {
        "report": one.name,
        "ended": format_time(int(one.at * 1e9)),
        "before": names["before"],
        "after": names["after"],
        "heldout": heldout and f"{heldout.before.rate:.1%} -> {heldout.after.rate:.1%}",
        "decision": one.decision and one.decision.decision,
    }
