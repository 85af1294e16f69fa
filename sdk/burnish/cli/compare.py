"""Implement `burnish compare`: two files of results, one verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from burnish.cli.options import AsJson
from burnish.cli.output import print_json

if TYPE_CHECKING:
    from burnish.compare import ComparisonReport

_NOT_MET = 3  # exit code, as where the gate does not promote
_MOST_NAMES = 10


def compare_results(
    a: Annotated[str, typer.Argument(help="File of the current version.")],
    b: Annotated[str, typer.Argument(help="File of the new version.")],
    metric: Annotated[
        str | None, typer.Option(help="Scorer or metric, where a file holds several.")
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="Two-sided confidence of the interval.")
    ] = 0.95,
    require: Annotated[
        Literal["better", "not-worse", "non-inferior"],
        typer.Option(
            help="Exit with 3 unless B is shown to be better; is not shown to be worse; is shown to lose at most "
            "the margin."
        ),
    ] = "better",
    margin: Annotated[
        float, typer.Option(min=0, help="Loss that --require non-inferior still allows.")
    ] = 0.05,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the comparison to this file, as Markdown.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two files of results: verdict, interval, tasks that flipped, tasks needed.

    Files are burnish evaluations (with `#before` or `#after` behind the name), Inspect logs, MLflow runs, tau2 results,
    or JSONL with `task`, `success` or `score`, and optionally `cluster`, `attempt` and `cost`.

    Examples: `burnish compare before.jsonl after.jsonl`, `burnish compare evaluation.json#before evaluation.json --markdown -`
    """
    from burnish.compare import compare_files, render_markdown

    report = compare_files(a, b, metric=metric, confidence=confidence)
    if markdown is not None and str(markdown) != "-":
        markdown.write_text(render_markdown(report) + "\n", encoding="utf-8")
    if as_json:
        print_json(report)
    elif str(markdown) == "-":
        typer.echo(render_markdown(report))
    else:
        _print_report(report)
    met = {
        "better": report.verdict == "b_better",
        "not-worse": report.verdict != "a_better",
        "non-inferior": report.interval[0] > -margin,
    }
    if not met[require] or report.lacking == "b":
        raise typer.Exit(_NOT_MET)


def _print_report(report: ComparisonReport) -> None:
    from burnish.compare.rendering import describe_verdict, list_notes, show_name

    typer.echo(describe_verdict(report))
    for title, tasks in (("fixed", report.fixed), ("broken", report.broken)):
        if tasks:
            more = f" and {len(tasks) - _MOST_NAMES} more" if len(tasks) > _MOST_NAMES else ""
            shown = ", ".join(map(show_name, tasks[:_MOST_NAMES]))
            typer.echo(f"  {title} {len(tasks)}: {shown}{more}")
    if report.unsteady:
        typer.echo(f"  changed in some attempts: {len(report.unsteady)}")
    for note in list_notes(report):
        typer.echo(f"  {note}")
