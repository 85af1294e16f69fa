"""`burnish import`: demonstrations of people and runs of teachers, into the workspace.

Knows: the command's options and what it prints. Does not know: how a line becomes a run.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json, print_table

app = typer.Typer()


@app.command("import")
def import_lines(
    file: Annotated[str, typer.Argument(help="JSON lines, on any fsspec URL.")],
    agent: Annotated[str, typer.Option(help="Agent that they are for.")],
    source: Annotated[
        Literal["human", "teacher"], typer.Option(help="Who wrote them: people, or another model.")
    ],
    form: Annotated[
        Literal["openai", "sharegpt"] | None,
        typer.Option("--format", help="How lines are written; else each line tells."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of the teacher.")] = None,
    license_id: Annotated[
        str | None, typer.Option("--license", help="SPDX id, such as CC-BY-4.0.")
    ] = None,
    rights: Annotated[
        list[str] | None, typer.Option(help="What they may be used for, such as internal.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Take demonstrations or a teacher's runs into the workspace, each line once.

    A line has `messages` (OpenAI) or `conversations` (ShareGPT), may have `tools`, `task_id`, `user`, `final_state`,
    `tags`, and `success` where someone checked it; a reply with `weight` 0 is context alone. They are verified like every other run.

    Example: `burnish import experts.jsonl --agent support --source human --license CC-BY-4.0 --rights consent:2026-05`
    """
    from burnish import configure
    from burnish.workspace import Workspace
    from burnish_exporters.importing import Origins, import_runs

    if home is not None:
        configure(home=home)
    origins = Origins(
        agent=agent,
        source=source,
        model=model,
        form=form,
        license=license_id,
        rights=rights or [],
    )
    report = import_runs(file, Workspace(home), origins)
    if as_json:
        print_json(report)
        return
    rows = [("imported", report.imported), ("there already", report.known)]
    print_table(f"{source} runs of {agent}", ["lines", "number"], rows)
    print_table("dropped", ["reason", "lines"], report.dropped.items())
    if report.examples:
        examples = [(one.line, one.reason, one.detail) for one in report.examples]
        print_table("first lines that were dropped", ["line", "reason", "found"], examples)
