"""Implement `burnish canary`: show and steer the rollout of an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json, print_table

app = typer.Typer(help="Watch and steer a canary.", no_args_is_help=True)

Agent = Annotated[str, typer.Argument(help="Name of the agent in burnish.toml.")]


def _open_rollout(agent: str, home: Path | None) -> Any:
    from burnish.agent_names import require_agent
    from burnish.workspace import Workspace

    workspace = Workspace(home)
    require_agent(agent, workspace)
    return workspace.canary(agent)


def _print_status(agent: str, status: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(status)
    else:
        from rich.text import Text

        doubts = Text("\n".join(status.pop("doubts")), "bold red")
        rows = [*_make_rows(status), *([("doubts", doubts)] if doubts else [])]
        print_table(f"canary of {agent}", ["fact", "value"], rows)


def _make_rows(status: dict[str, Any]) -> list[tuple[str, Any]]:
    """Write threads, window, evidence and events of a status in words."""
    told = dict(status)
    arms, window, needed = told.pop("arms", {}), told.pop("window", None), told.pop("needed", {})
    evidence, events = told.pop("evidence", None), told.pop("events", [])
    threads, successes = told.pop("threads", {}), told.pop("successes", {})
    rows = [(name, _write_fact(value)) for name, value in told.items()]
    for arm, counts in arms.items():
        rows.append((f"threads of {arm}", ", ".join(f"{n} {word}" for word, n in counts.items())))
    for arm, number in threads.items():
        rate = f" ({successes[arm] / number:.1%})" if number else ""
        rows.append((f"success of {arm}", f"{successes[arm]} of {number}{rate}"))
    if window is not None:
        seconds = window["seconds"]
        waited = "not known yet" if seconds is None else f"{seconds:g} s"
        rows.append(("maturity window", f"{waited} ({window['basis']})"))
    if evidence is not None:
        rows += _make_evidence_rows(evidence, needed)
    rows += [
        (f"event {number}", f"{event['state']} at {event['share']:.0%}: {event['reason']}")
        for number, event in enumerate(events, 1)
    ]
    return rows


def _make_evidence_rows(
    evidence: dict[str, Any], needed: dict[str, float]
) -> list[tuple[str, str]]:
    """Write each piece of evidence with the value at which it decides."""
    questions = (
        ("worse", "rollback", "evidence: worse"),
        ("not_worse", "promote", "evidence: not worse"),
        ("missing", "missing", "evidence: missing unequally"),
        ("ratio", "ratio", "evidence: wrong share"),
    )
    rows = [
        (name, f"{evidence[key]:.3g}, decides at {needed[limit]:g}")
        for key, limit, name in questions
    ]
    return rows + [
        (f"evidence: guard {name}", f"{value:.3g}") for name, value in evidence["guards"].items()
    ]


def _write_fact(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(str(_write_fact(item)) for item in value)
    return value


@app.command("status")
def show_status(agent: Agent, home: Home = None, as_json: AsJson = False) -> None:
    """Show the state, the share, and the evidence so far.

    Example: `burnish canary status support --json`
    """
    rollout = _open_rollout(agent, home)
    rollout.observe()
    _print_status(agent, rollout.status(), as_json)


@app.command("promote")
def promote_candidate(
    agent: Agent,
    force: Annotated[bool, typer.Option(help="Promote without enough evidence; recorded.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Send all traffic to the canary's adapter.

    Example: `burnish canary promote support --force`
    """
    rollout = _open_rollout(agent, home)
    rollout.promote(force=force)
    _print_status(agent, rollout.status(), as_json)


@app.command("rollback")
def roll_back(
    agent: Agent,
    reason: Annotated[str, typer.Option(help="Reason; recorded in the audit trail.")] = "by hand",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Send all traffic back to the stable version at once.

    Example: `burnish canary rollback support --reason "customers complain"`
    """
    rollout = _open_rollout(agent, home)
    rollout.rollback(reason)
    _print_status(agent, rollout.status(), as_json)


@app.command("pause")
def pause_rollout(
    agent: Agent,
    reason: Annotated[str, typer.Option(help="Reason; recorded in the audit trail.")] = "by hand",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Stop the canary's traffic without a decision; `burnish canary advance` continues.

    Example: `burnish canary pause support --reason "holidays"`
    """
    rollout = _open_rollout(agent, home)
    rollout.pause(reason)
    _print_status(agent, rollout.status(), as_json)


@app.command("advance")
def advance_rollout(agent: Agent, home: Home = None, as_json: AsJson = False) -> None:
    """Continue after a pause at the previous share, or take the next step by hand.

    Example: `burnish canary advance support`
    """
    rollout = _open_rollout(agent, home)
    rollout.advance()
    _print_status(agent, rollout.status(), as_json)
