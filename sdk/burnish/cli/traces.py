"""`burnish traces`: look at what was captured.

Knows: how a trajectory is listed and shown. Does not know: how it was captured or assembled.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Any

import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json, print_table, shorten, when
from burnish.records import ModelCall, ToolRun, Trajectory

app = typer.Typer(help="Look at captured trajectories.", no_args_is_help=True)


@app.command("list")
def list_traces(
    agent: Annotated[str | None, typer.Option(help="Only this agent.")] = None,
    status: Annotated[str | None, typer.Option(help="Only this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List trajectories.

    Example: `burnish traces list --agent support --status failed`
    """
    from burnish.workspace import Workspace

    found = Workspace(home).trajectories(agent=agent, status=status)
    chosen = list(itertools.islice(found, limit))
    if as_json:
        print_json([_summary(trajectory) for trajectory in chosen])
        return
    print_table(
        "trajectories",
        ["id", "agent", "started (UTC)", "status", "calls", "tools", "verdict", "answer"],
        (
            (
                trajectory.id[:12],
                trajectory.agent,
                when(trajectory.started_ns),
                trajectory.status,
                len(trajectory.model_calls),
                len(trajectory.tool_runs),
                _labels(trajectory),
                shorten(trajectory.answer, 40),
            )
            for trajectory in chosen
        ),
    )


@app.command("show")
def show_trace(
    trajectory_id: Annotated[str, typer.Argument(help="Id of a trajectory, or its beginning.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show one trajectory: every call, what came back, what was concluded.

    Example: `burnish traces show 4f1c2a`
    """
    from burnish.workspace import Workspace

    trajectory = Workspace(home).trajectory(trajectory_id)
    if as_json:
        print_json(trajectory)
        return
    _print_trajectory(trajectory)


def _summary(trajectory: Trajectory) -> dict[str, Any]:
    return {
        "id": trajectory.id,
        "agent": trajectory.agent,
        "thread_id": trajectory.thread_id,
        "task_id": trajectory.task_id,
        "status": trajectory.status,
        "started_ns": trajectory.started_ns,
        "ended_ns": trajectory.ended_ns,
        "model_calls": len(trajectory.model_calls),
        "tool_runs": len(trajectory.tool_runs),
        "answer": trajectory.answer,
        "verdicts": trajectory.verdicts,
        "outcomes": trajectory.outcomes,
        "losses": trajectory.losses,
    }


def _labels(trajectory: Trajectory) -> str:
    verdicts = [f"{verdict.label} ({verdict.verifier})" for verdict in trajectory.verdicts]
    outcomes = [f"{outcome.success} ({outcome.source})" for outcome in trajectory.outcomes]
    return ", ".join(verdicts + outcomes) or "-"


def _print_trajectory(trajectory: Trajectory) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    console.print(f"[bold]trajectory[/] {escape(trajectory.id)}")
    facts = {
        "agent": trajectory.agent,
        "thread": trajectory.thread_id,
        "task": trajectory.task_id,
        "status": trajectory.status,
        "started (UTC)": when(trajectory.started_ns),
        "verdicts and outcomes": _labels(trajectory),
        "losses": trajectory.losses or "none",
        "answer": trajectory.answer,
    }
    for name, value in facts.items():
        console.print(f"  {name}: {escape(str(value))}")
    steps: list[ModelCall | ToolRun] = [
        *trajectory.model_calls, *trajectory.tool_runs, *trajectory.memory,
    ]  # fmt: skip
    for step in sorted(steps, key=lambda item: item.started_ns):
        line = _model_line(step) if isinstance(step, ModelCall) else _tool_line(step)
        console.print(escape(line))


def _model_line(call: ModelCall) -> str:
    from burnish.journal.events import canonical

    parts = (call.reply or {}).get("parts", [])
    said = [
        f"{part.get('name')}({canonical(part.get('arguments')).decode()})"
        if part.get("type") == "tool_call"
        else str(part.get("content", ""))
        for part in parts
    ]
    policy = call.policy.adapter or call.policy.model or "?"
    failure = f" !! {call.error.type}: {call.error.message}" if call.error else ""
    return f"  model [{policy}] {len(call.messages)} messages -> {shorten(' '.join(said), 100)}{failure}"


def _tool_line(run: ToolRun) -> str:
    from burnish.journal.events import canonical

    mark = " !!" if run.is_error else ""
    arguments = canonical(run.arguments).decode()
    kind = {"retrieval": "find", None: "tool"}.get(run.extras.get("operation"), "store")
    return f"  {kind:5} {run.name}({arguments}){mark} -> {shorten(str(run.result), 80)}"
