"""Define `burnish label`: people label runs as good or bad."""

from __future__ import annotations

import getpass
import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import INTERRUPTED, print_json, print_table, report_interrupt
from burnish.files.output_files import check_output, write_output

if TYPE_CHECKING:
    from burnish.records import Trajectory
    from burnish_exporters.labels import Label

app = typer.Typer(help="Label runs by hand; export and import labels.", no_args_is_help=True)

Queue = Annotated[
    Literal["audit", "unknown", "disagree", "random"],
    typer.Option(
        "--queue", help="The audit's sample; runs that verifiers cannot decide or dispute; any."
    ),
]
Reviewer = Annotated[
    str | None, typer.Option(help="Name of the reviewer; by default the user's name.")
]
_KEYS = "[a]ccept  [r]eject  [u]nsure  [e]dit the answer  [s]kip  [q]uit"
_Choice = Literal["accept", "reject", "unsure", "edit", "skip", "quit"]
_CHOICES: tuple[_Choice, ...] = ("accept", "reject", "unsure", "edit", "skip", "quit")


@app.command("run")
def label_runs(
    agent: Annotated[str, typer.Argument(help="Agent whose runs are shown.")],
    queue: Queue = "audit",
    limit: Annotated[int, typer.Option(min=1, help="Show at most this many runs.")] = 100,
    reviewer: Reviewer = None,
    seed: Annotated[int, typer.Option(help="Seed of the order, with --queue random.")] = 0,
    home: Home = None,
) -> None:
    """Show runs one by one and ask for a label; verdicts are hidden.

    Each label is saved at once: q or Ctrl-C ends, the same command continues.

    Example: `burnish label run support --queue unknown`
    """
    from burnish.agent_names import require_agent
    from burnish.workspace import Workspace
    from burnish_exporters.labels import record_label, unlabelled_runs

    workspace, given = Workspace(home), 0
    require_agent(agent, workspace)
    try:
        for run in islice(unlabelled_runs(workspace, agent, queue, seed=seed), limit):
            _print_run(run)
            label = _ask_label(run, reviewer or getpass.getuser())
            if label == "quit":
                break
            if label != "skip":
                record_label(workspace, label)
                given += 1
    except typer.Abort:  # Ctrl-C, or the end of the input
        report_interrupt()
        raise typer.Exit(INTERRUPTED) from None
    finally:
        workspace.writer().flush()
        typer.echo(f"{given} labels were given")


@app.command("give")
def give_label(
    trajectory: Annotated[str, typer.Argument(help="Id of a run, or its beginning.")],
    label: Annotated[
        Literal["accept", "reject", "unsure", "edit"], typer.Argument(help="The label.")
    ],
    answer: Annotated[str | None, typer.Option(help="With edit: the corrected answer.")] = None,
    note: Annotated[str | None, typer.Option(help="Reason for the label.")] = None,
    reviewer: Reviewer = None,
    home: Home = None,
) -> None:
    """Label one run directly.

    Example: `burnish label give 4f1c2a edit --answer "Order 17 is in Oslo."`
    """
    from burnish.workspace import Workspace
    from burnish_exporters.labels import Label, record_label

    workspace = Workspace(home)
    run = workspace.trajectory(trajectory)
    who = reviewer or getpass.getuser()
    record_label(
        workspace, Label(trajectory_id=run.id, label=label, answer=answer, note=note, reviewer=who)
    )
    workspace.writer().flush()
    typer.echo(f"{run.id[:12]}: {label}")


@app.command("export")
def export_labels(
    file: Annotated[
        Path | None, typer.Argument(help="File of JSON lines; by default the terminal.")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Only this agent's runs.")] = None,
    home: Home = None,
) -> None:
    """Write all labels as JSON lines, each with the run's request and answer.

    Example: `burnish label export labels.jsonl --agent support`
    """
    from burnish.agent_names import require_agent
    from burnish.workspace import Workspace
    from burnish_exporters.labels import read_label_rows

    if file is not None:
        check_output(file, "burnish label export")
    workspace = Workspace(home)
    require_agent(agent, workspace)
    lines = [json.dumps(label) for label in read_label_rows(workspace, agent)]
    text = "".join(f"{line}\n" for line in lines)
    if file is None:
        sys.stdout.write(text)
        return
    write_output(file, text, "burnish label export")
    typer.echo(f"{len(lines)} labels in {file}")


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="JSON lines with trajectory_id and label.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Import labels from JSON lines, as `burnish label export` writes them; each is imported once.

    A line needs `trajectory_id` and `label` (accept, reject, unsure, edit with `answer`).

    Example: `burnish label import labels.jsonl`
    """
    from burnish.workspace import Workspace
    from burnish_exporters.labels import import_labels

    workspace = Workspace(home)
    report = import_labels(file, workspace)
    workspace.writer().flush()
    if as_json:
        print_json(report)
        return
    print_table(
        "labels",
        ["lines", "number"],
        [("imported", report.imported), ("known", report.known)],
    )
    print_table("dropped", ["reason", "lines"], report.dropped.items())


@app.command("list")
def list_labels(
    agent: Annotated[str | None, typer.Option(help="Only this agent's runs.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the labels that people gave.

    Example: `burnish label list --agent support`
    """
    from burnish.agent_names import require_agent
    from burnish.workspace import Workspace
    from burnish_exporters.labels import labels_of

    workspace = Workspace(home)
    require_agent(agent, workspace)
    found = [label for run in workspace.trajectories(agent=agent) for label in labels_of(run)]
    if as_json:
        print_json(found)
        return
    cells = ((label.trajectory_id[:12], label.label, label.reviewer, label.note) for label in found)
    print_table("labels", ["run", "label", "reviewer", "note"], cells)


def _ask_label(run: Trajectory, reviewer: str) -> Label | Literal["skip", "quit"]:
    """Ask a person for the label of a run that was shown."""
    from burnish_exporters.labels import Label

    while True:
        choice = _parse_choice(typer.prompt(_KEYS, prompt_suffix=" > "))
        if choice is None:
            typer.echo("type one of the keys or its whole word; nothing was recorded")
        elif choice == "skip" or choice == "quit":
            return choice
        elif choice == "edit":
            answer = typer.prompt("the corrected answer", default=run.answer or None)
            return Label(trajectory_id=run.id, label="edit", answer=answer, reviewer=reviewer)
        else:
            return Label(trajectory_id=run.id, label=choice, reviewer=reviewer)


def _parse_choice(line: str) -> _Choice | None:
    """Return the choice that a line names by its letter or its whole word; None for any other line."""
    typed = line.strip().casefold()
    return next((choice for choice in _CHOICES if typed in (choice, choice[0])), None)


def _print_run(run: Trajectory) -> None:
    """Print requests, calls, results and the answer, without verdicts, which would bias the label."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.rule(Text(f"run {run.id[:12]}"))
    last = run.model_calls[-1] if run.model_calls else None
    for message in [*last.messages, *([last.reply] if last.reply else [])] if last else []:
        for part in message.get("parts") or ():
            said = part.get("content") or part.get("response") or part.get("arguments") or ""
            text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
            name = f" {part['name']}" if part.get("name") else ""
            console.print(Text(f"{message.get('role')}{name}: {text}"))
    if run.final_state is not None:
        state = json.dumps(run.final_state, ensure_ascii=False, default=str)
        console.print(Text(f"final state: {state[:2000]}"))
    console.print(Text(f"answer: {run.answer}", style="bold"))
