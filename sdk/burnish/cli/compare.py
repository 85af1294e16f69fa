"""Implement `burnish compare`: two files of results, one verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from burnish.cli.options import AsJson
from burnish.cli.output import print_json
from burnish.files.output_files import write_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from burnish.compare import ComparedPool, ComparisonReport

_NOT_MET = 3  # exit code, as where the gate does not promote
_MOST_NAMES = 10


def compare_results(
    files: Annotated[
        tuple[str, str],
        typer.Argument(metavar="A B", help="File of the current version, and file of the new one."),
    ],
    metric: Annotated[
        str | None, typer.Option(help="Scorer or metric, where a file holds several.")
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="Two-sided confidence of the interval.")
    ] = 0.95,
    pool: Annotated[
        str | None,
        typer.Option(
            help="Pool of tasks that decides; the others are guards.", show_default="heldout"
        ),
    ] = None,
    require: Annotated[
        Literal["better", "not-worse", "non-inferior"],
        typer.Option(
            help="Exit with 3 unless B is shown to be better; is not shown to be worse; is shown to lose at most "
            "the margin. B never meets it where a guard is shown to be worse."
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
    or JSONL with `task`, `success` or `score`, and optionally `pool`, `cluster`, `attempt` and `cost`.
    Burnish evaluations are also what `.burnish/evaluations` keeps.

    Examples: `burnish compare before.jsonl after.jsonl`, `burnish compare evaluation.json#before evaluation.json --markdown -`
    """
    from burnish.compare import compare_files, render_markdown

    report = compare_files(*files, metric=metric, confidence=confidence, pool=pool)
    if markdown is not None and str(markdown) != "-":
        write_output(markdown, render_markdown(report) + "\n", "--markdown")
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
    if not met[require] or report.lacking == "b" or report.broken_guards:
        raise typer.Exit(_NOT_MET)


def _print_report(report: ComparisonReport) -> None:
    from burnish.compare.rendering import (
        describe_costs,
        describe_guard,
        describe_verdict,
        list_notes,
    )

    typer.echo(describe_verdict(report))
    lines = [*describe_costs(report), *_list_flips(report)]
    for guard in report.guards:
        lines += [describe_guard(guard), *(f"  {line}" for line in _list_flips(guard))]
    for line in (*lines, *list_notes(report)):
        typer.echo(f"  {line}")


def _list_flips(pool: ComparedPool) -> Iterator[str]:
    from burnish.compare.rendering import show_name

    for title, tasks in (("fixed", pool.fixed), ("broken", pool.broken)):
        if tasks:
            more = f" and {len(tasks) - _MOST_NAMES} more" if len(tasks) > _MOST_NAMES else ""
            shown = ", ".join(map(show_name, tasks[:_MOST_NAMES]))
            yield f"{title} {len(tasks)}: {shown}{more}"
    if pool.unsteady:
        yield f"changed in some attempts: {len(pool.unsteady)}"
