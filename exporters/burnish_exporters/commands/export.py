"""Define `burnish dataset export`: write a version in a consumer's format and report the rows left out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json, print_table
from burnish.files.output_files import check_output, explain_unwritable

app = typer.Typer()


@app.command("export")
def export_version(
    version: Annotated[
        str, typer.Argument(help="Id of a version, its beginning, or a dataset's name.")
    ],
    form: Annotated[
        str, typer.Option("--format", help="Such as trl-sft; an unknown name lists them all.")
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            help="New file of JSON lines (or .parquet for verl); else rows are only counted."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="train, heldout or temporal.")] = "train",
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Leave out rows with a longer model call.")
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option(help="Leave out rows that this chat template would not render as served."),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Write a version in a consumer's format, and report the rows left out and the facts of its pairs.

    Example: `burnish dataset export support --format trl-dpo-step --to pairs.jsonl --max-tokens 4096`
    """  # fmt: skip
    from burnish import settings
    from burnish_exporters.dataset.store import DatasetStore

    if to is not None:
        check_output(to, "--to")
    found = DatasetStore((home or settings.current().home) / "datasets").find_version(version)
    rows = found.export(form, split, max_tokens=max_tokens, template=template)
    if to is not None:
        with explain_unwritable(to, "--to"):
            rows.write(to)
    else:
        for _ in rows:
            pass
    report = rows.report()
    if as_json:
        print_json({"version": found.id, "file": str(to) if to else None, **msgspec.to_builtins(report)})  # fmt: skip
        return
    counts: list[tuple[str, object]] = [("rows read", report.read), ("rows written", report.written)]  # fmt: skip
    counts += [(f"left out: {reason}", count) for reason, count in report.refused.items()]
    counts += [("of unknown length", report.unmeasured)] if report.unmeasured else []
    print_table(f"{found.id} as {form}", ["what", "number"], counts)
    _print_facts(report.facts)
    for warning in report.warnings:
        typer.echo(f"warning: {warning}")


def _print_facts(facts: dict[str, Any]) -> None:
    """Print the differences between the sides of pairs, if there are any."""
    if not facts.get("pairs"):
        return
    overall = [(name, facts[name]) for name in ("pairs", "tasks", "length_auc")]
    overall += [(f"from {origin}", count) for origin, count in facts["origins"].items()]
    print_table("pairs", ["what", "number"], overall)
    chosen, rejected = facts["tools"]["chosen"], facts["tools"]["rejected"]
    sides: list[tuple[object, ...]] = [
        ("mean steps", facts["mean_steps"]["chosen"], facts["mean_steps"]["rejected"])
    ]
    sides += [
        (f"calls of {name}", chosen.get(name, 0), rejected.get(name, 0))
        for name in sorted(chosen.keys() | rejected.keys())
    ]
    print_table("sides", ["what", "chosen", "rejected"], sides)
    differences = [*facts["first_difference"].items()]
    differences += [
        (f"{name}: {how}", count)
        for name, ways in facts["arguments"].items()
        for how, count in ways.items()
    ]
    print_table("first difference", ["difference", "pairs"], differences)
