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
    from burnish.workspace import Workspace

    return Workspace(home).canary(agent)


def _print_status(agent: str, status: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(status)
    else:
        from rich.text import Text

        doubts = Text("\n".join(status.pop("doubts")), "bold red")
        rows = [*status.items(), *([("doubts", doubts)] if doubts else [])]
        print_table(f"canary of {agent}", ["fact", "value"], rows)


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
