"""Implement `burnish traces`: `list` shows the newest runs first, `show` one run as a tree of calls."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import format_time, parse_moment, print_json, print_table, shorten_text
from burnish.records import ModelCall, ToolRun, Trajectory

if TYPE_CHECKING:
    from burnish.journal.index.trajectory_index import Query
    from burnish.workspace import Workspace

app = typer.Typer(help="Show captured trajectories.", no_args_is_help=True)


@app.command("list")
def list_traces(
    agent: Annotated[str | None, typer.Option(help="Only this agent.")] = None,
    status: Annotated[str | None, typer.Option(help="Only this status, such as failed.")] = None,
    source: Annotated[
        str | None, typer.Option(help="Only this source: production, rollout, evaluation, ...")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only runs started since then: 6h, 2d or 2026-11-28.")
    ] = None,
    thread: Annotated[str | None, typer.Option(help="Only runs of this thread.")] = None,
    task: Annotated[str | None, typer.Option(help="Only attempts at this task.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Largest number of runs to show.")] = 50,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List trajectories, the newest first.

    Example: `burnish traces list --agent support --status failed --since 6h`
    """
    from burnish.agent_names import require_agent
    from burnish.journal.index.trajectory_index import Query
    from burnish.workspace import Workspace

    workspace = Workspace(home)
    require_agent(agent, workspace)
    query = Query(
        agent=agent,
        status=status,
        source=source,
        since_ns=parse_moment(since, "--since") if since else None,
        thread_id=thread,
    )
    chosen, more = _read_newest(workspace, query, task, limit)
    if as_json:
        print_json([_summarize(trajectory) for trajectory in chosen])
    elif chosen:
        _print_list(chosen)
    else:
        typer.echo(f"trajectories: none in {workspace.home}{_format_filters(query, task)}")
    if more:
        print(f"and {more} more; --limit shows them", file=sys.stderr)  # noqa: T201


def _read_newest(
    workspace: Workspace, query: Query, task: str | None, limit: int
) -> tuple[list[Trajectory], int]:
    """Return the newest matching trajectories, and how many more there are.

    With a task, every run is read to know its task, so the count is exact there, too.
    """
    entries = workspace.entries(query)[::-1]
    if task is None:
        return list(workspace.read(entries[:limit])), max(0, len(entries) - limit)
    matching = [found for found in workspace.read(entries) if found.task_id == task]
    return matching[:limit], max(0, len(matching) - limit)


def _format_filters(query: Query, task: str | None) -> str:
    """Format the filters of the list."""
    given = {
        "agent": query.agent,
        "status": query.status,
        "source": query.source,
        "since": format_time(query.since_ns) if query.since_ns is not None else None,
        "thread": query.thread_id,
        "task": task,
    }
    named = [f"{name} {value}" for name, value in given.items() if value is not None]
    return f" with {', '.join(named)}" if named else ""


def _print_list(chosen: list[Trajectory]) -> None:
    """Print one line per run; the last column takes the rest of the terminal's width."""
    print_table(
        "trajectories",
        ["id", "agent", "started (UTC)", "status", "calls", "verdict", "answer"],
        (
            (
                trajectory.id[:12],
                shorten_text(trajectory.agent, 12),
                format_time(trajectory.started_ns)[5:],
                trajectory.status,
                f"{len(trajectory.model_calls)}+{len(trajectory.tool_runs)}",
                shorten_text(_format_labels(trajectory), 40),
                shorten_text(trajectory.answer, 40),
            )
            for trajectory in chosen
        ),
        whole=4,
    )


@app.command("show")
def show_trace(
    trajectory_id: Annotated[str, typer.Argument(help="Id of a trajectory, or its prefix.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show one trajectory: every call with its result, verdicts and outcomes.

    Example: `burnish traces show 4f1c2a`
    """
    from burnish.workspace import Workspace

    trajectory = Workspace(home).trajectory(trajectory_id)
    if as_json:
        print_json(trajectory)
        return
    _print_trajectory(trajectory)


def _summarize(trajectory: Trajectory) -> dict[str, Any]:
    return {
        "id": trajectory.id,
        "agent": trajectory.agent,
        "thread_id": trajectory.thread_id,
        "task_id": trajectory.task_id,
        "source": trajectory.source,
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


def _format_labels(trajectory: Trajectory) -> str:
    verdicts = [f"{verdict.label} ({verdict.verifier})" for verdict in trajectory.verdicts]
    outcomes = [f"{_format_outcome(outcome)} ({outcome.source})" for outcome in trajectory.outcomes]
    return ", ".join(verdicts + outcomes) or "-"


def _format_outcome(outcome: Any) -> str:
    """Format an outcome: its success, else its label, else its score."""
    if outcome.success is not None:
        return "success" if outcome.success else "failure"
    return outcome.label or f"score {outcome.score}"


def _print_trajectory(trajectory: Trajectory) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    console.print(f"[bold]trajectory[/] {escape(trajectory.id)}")
    for name, value in _collect_facts(trajectory).items():
        console.print(f"  {name}: {escape(str(value))}", soft_wrap=True)
    for line in _format_tree(trajectory):
        console.print(escape(line), soft_wrap=True)


def _collect_facts(trajectory: Trajectory) -> dict[str, Any]:
    """Collect the facts of a shown run, without empty ones."""
    error = trajectory.error
    facts = {
        "agent": trajectory.agent,
        "thread": trajectory.thread_id,
        "task": trajectory.task_id,
        "source": trajectory.source,
        "status": trajectory.status,
        "started (UTC)": format_time(trajectory.started_ns),
        "took": _format_duration(trajectory.started_ns, trajectory.ended_ns),
        "tokens": _format_tokens(trajectory.model_calls),
        "error": f"{error.type}: {error.message}" if error else None,
        "losses": trajectory.losses or "none",
    }
    for verdict in trajectory.verdicts:
        facts[f"verdict of {verdict.verifier}"] = _with_evidence(verdict.label, verdict)
    for outcome in trajectory.outcomes:
        facts[f"outcome from {outcome.source}"] = _with_evidence(_format_outcome(outcome), outcome)
    facts["answer"] = trajectory.answer
    return {name: value for name, value in facts.items() if value is not None}


def _with_evidence(said: str, fact: Any) -> str:
    origin = "" if fact.origin == "own" else f" [{fact.origin}]"
    if fact.evidence is None:
        return said + origin
    evidence = msgspec.json.encode(fact.evidence, enc_hook=str).decode()
    return f"{said}{origin}, evidence {shorten_text(evidence, 200)}"


def _format_duration(started_ns: int, ended_ns: int | None) -> str | None:
    if ended_ns is None:
        return None
    seconds = (ended_ns - started_ns) / 1e9
    return f"{seconds:.2f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def _format_tokens(calls: list[ModelCall]) -> str | None:
    """Format the sum of tokens over all calls; None if no provider counted any."""
    counted = [call.usage for call in calls if call.usage is not None]
    if not counted:
        return None
    read = sum(usage.input_tokens or 0 for usage in counted)
    written = sum(usage.output_tokens or 0 for usage in counted)
    return f"{read:,} in, {written:,} out"


def _format_tree(trajectory: Trajectory) -> Iterator[str]:
    """Yield one line per call in order of time, with a heading where the node changes."""
    steps: list[ModelCall | ToolRun] = [
        *trajectory.model_calls, *trajectory.tool_runs, *trajectory.memory,
    ]  # fmt: skip
    node: str | None = None
    for step in sorted(steps, key=lambda item: item.started_ns):
        if step.node and step.node != node:
            node = step.node
            yield f"  {node}"
        line = _format_model_call(step) if isinstance(step, ModelCall) else _format_tool_run(step)
        took = _format_duration(step.started_ns, step.ended_ns)
        yield f"    {line}" + (f"  ({took})" if took else "  (no end)")
    if trajectory.status == "interrupted":
        yield "  interrupted: waits for a resume"


def _format_model_call(call: ModelCall) -> str:
    from burnish.journal.events import ordered_json

    parts = (call.reply or {}).get("parts", [])
    said = [
        f"{part.get('name')}({ordered_json(part.get('arguments')).decode()})"
        if part.get("type") == "tool_call"
        else str(part.get("content", ""))
        for part in parts
    ]
    policy = call.policy.adapter or call.policy.model or "?"
    tokens = _format_tokens([call])
    counted = f", {tokens}" if tokens else ""
    failure = f" !! {call.error.type}: {call.error.message}" if call.error else ""
    reply = shorten_text(" ".join(said), 100)
    return f"model [{policy}] {len(call.messages)} messages{counted} -> {reply}{failure}"


def _format_tool_run(run: ToolRun) -> str:
    from burnish.journal.events import ordered_json

    mark = " !!" if run.is_error or run.error else ""
    arguments = shorten_text(ordered_json(run.arguments).decode(), 120)
    kind = {"retrieval": "find", None: "tool"}.get(run.extras.get("operation"), "store")
    failure = f" {run.error.type}: {run.error.message}" if run.error else ""
    result = "" if run.result is None and failure else f" -> {shorten_text(str(run.result), 80)}"
    return f"{kind:5} {run.name}({arguments}){mark}{failure}{result}"
