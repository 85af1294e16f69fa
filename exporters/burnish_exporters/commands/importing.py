"""Define `burnish import`: add demonstrations of people and runs of teachers to the workspace."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json, print_table

app = typer.Typer()


@app.command("import")
def import_lines(
    file: Annotated[str, typer.Argument(help="JSON lines, on any fsspec URL.")],
    agent: Annotated[str, typer.Option(help="Agent that the runs are for.")],
    source: Annotated[
        Literal["human", "teacher"],
        typer.Option(help="Author of the runs: people, or another model."),
    ],
    form: Annotated[
        Literal["openai", "sharegpt"] | None,
        typer.Option("--format", help="Form of the lines; by default each line shows it."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of the teacher.")] = None,
    license_id: Annotated[
        str | None, typer.Option("--license", help="SPDX id, such as CC-BY-4.0.")
    ] = None,
    rights: Annotated[
        list[str] | None, typer.Option(help="Permitted uses, such as internal.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Import demonstrations or a teacher's runs into the workspace, each line once.

    A line has `messages` (OpenAI) or `conversations` (ShareGPT), may have `tools`, `task_id`, `user`, `final_state`,
    `tags`, and `success` if it was checked; a reply with `weight` 0 is context alone. Imported runs are verified like all others.

    Example: `burnish import experts.jsonl --agent support --source human --license CC-BY-4.0 --rights consent:2026-05`
    """
    from burnish import configure
    from burnish.agent_names import read_declared
    from burnish.workspace import Workspace
    from burnish_exporters.importing import ImportFacts, import_runs

    if home is not None:
        configure(home=home)
    origins = ImportFacts(
        agent=agent,
        source=source,
        model=model,
        form=form,
        license=license_id,
        rights=rights or [],
    )
    path, declared = read_declared()
    if path is not None and agent not in declared:
        note = f"note: {path} declares no agent {agent!r}; the runs wait for [agent.{agent}]"
        typer.echo(note, err=True)
    report = import_runs(file, Workspace(home), origins)
    if as_json:
        print_json(report)
        return
    rows = [("imported", report.imported), ("known", report.known)]
    print_table(f"{source} runs of {agent}", ["lines", "number"], rows)
    print_table("dropped", ["reason", "lines"], report.dropped.items())
    if report.examples:
        examples = [(one.line, one.reason, one.detail) for one in report.examples]
        print_table("first lines that were dropped", ["line", "reason", "found"], examples)
