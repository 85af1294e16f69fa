"""Implement `burnish lineage`: print the parents and children of a thing."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import print_json

_FACTS = ("name", "agent", "as", "state", "created_at", "trajectories")


def show_lineage(
    identifier: Annotated[
        str,
        typer.Argument(
            help="A dataset, adapter or prompt version, an agent, a row, a trajectory or a span."
        ),
    ],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show what a thing comes from, and what was made of it.

    Example: `burnish lineage support@4f1c2a90b3e0`
    """
    from burnish.workspace import Workspace

    found = Workspace(home).lineage(identifier)
    if as_json:
        print_json(found)
        return
    typer.echo(_format_node(found))
    for title, direction in (("comes from", "parents"), ("was made into", "children")):
        typer.echo(f"{title}:{'' if found.get(direction) else ' nothing'}")
        for node in found.get(direction) or ():
            _print_node(node, direction, 1)
    for path in found.get("unread", ()):
        typer.echo(f"cannot be read and is left out: {path}")


def _print_node(node: dict[str, Any], direction: str, depth: int) -> None:
    typer.echo(f"{'  ' * depth}{_format_node(node)}")
    for further in node.get(direction) or ():
        _print_node(further, direction, depth + 1)


def _format_node(node: dict[str, Any]) -> str:
    facts = [f"{name} {node[name]}" for name in _FACTS if node.get(name)]
    facts += [_format_decision(decision) for decision in node.get("gate") or ()]
    facts += [f"forced past readiness: {finding}" for finding in node.get("unready") or ()]
    told = [*facts, *(["put into service by force"] if node.get("forced") else [])]
    return f"{node['kind']} {node['id']}" + (f" ({', '.join(told)})" if told else "")


def _format_decision(decision: dict[str, Any]) -> str:
    facts = decision.get("facts") or {}
    return f"gate: {decision.get('decision')}, decision {facts.get('decision_on_set')} on its held-out set"
