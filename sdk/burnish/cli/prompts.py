"""Implement `burnish prompts`: list, show and add the prompt versions of the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from burnish.cli.options import AsJson, Home
from burnish.cli.output import format_time, print_json, print_table, shorten_text

app = typer.Typer(help="Show the prompt versions of the workspace.", no_args_is_help=True)

Version = Annotated[
    str, typer.Argument(help="A prompt version, such as support-prompt@4f1c2a90b3e0.")
]


@app.command("list")
def list_prompts(
    agent: Annotated[
        str | None, typer.Argument(help="Only versions of this agent.", show_default="all")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List prompt versions, newest first, with the gate's decisions and where each one serves.

    Example: `burnish prompts list support`
    """
    from burnish.adapters.prompt_store import PromptStore
    from burnish.agent_names import require_agent
    from burnish.workspace import Workspace

    workspace = Workspace(home)
    require_agent(agent, workspace)
    folder = workspace.home
    versions = reversed(PromptStore(folder).list(agent))
    found = [_describe_version(folder, version) for version in versions]
    if as_json:
        print_json(found)
        return
    rows = [
        (
            fact["id"],
            fact["created_at"][:16].replace("T", " "),
            "; ".join(_describe_candidate(line) for line in fact["candidates"]) or "not evaluated",
            ", ".join(fact["serves"]) or "-",
            shorten_text(next(iter(fact["texts"].values())), 60),
        )
        for fact in found
    ]
    columns = ["version", "made (UTC)", "gate", "serves", "text"]
    print_table(f"prompts of {agent or 'all agents'} in {folder}", columns, rows)


@app.command("show")
def show_prompt(version: Version, home: Home = None, as_json: AsJson = False) -> None:
    """Show a prompt version: its texts, the texts that they replace, how it was made, and where it serves.

    Example: `burnish prompts show support-prompt@4f1c2a90b3e0`
    """
    from burnish.adapters.prompt_store import PromptStore
    from burnish.workspace import Workspace

    folder = Workspace(home).home
    store = PromptStore(folder)
    fact = _describe_version(folder, store.get(version))
    fact["report"] = store.report(version)
    if as_json:
        print_json(fact)
        return
    for name, text in fact["texts"].items():
        typer.echo(f"--- {name}\n{text}")
    rows = [
        ("made (UTC)", fact["created_at"]),
        *(("gate", _describe_candidate(line)) for line in fact["candidates"]),
        ("serves", ", ".join(fact["serves"]) or "-"),
        *(("history", _describe_action(line)) for line in fact["history"]),
        *((name, str(value)) for name, value in fact["report"].items() if name != "candidates"),
    ]
    print_table(f"prompt {version}", ["fact", "value"], rows)


@app.command("add")
def add_prompt(
    agent: Annotated[str, typer.Argument(help="Name of the agent.")],
    file: Annotated[
        Path, typer.Argument(help="Text file with the prompt.", exists=True, dir_okay=False)
    ],
    name: Annotated[
        str, typer.Option(help="Name of the prompt, for agents with several.")
    ] = "system",
    replaces: Annotated[
        Path | None,
        typer.Option(help="Text file with the agent's own prompt, which it replaces.", exists=True),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Store a text as a prompt version, to be evaluated and rolled out like an optimised one. Nothing else changes.

    Example: `burnish prompts add support better.md`
    """
    from burnish.adapters.prompt_store import PromptStore
    from burnish.agent_names import require_agent
    from burnish.workspace import Workspace

    workspace = Workspace(home)
    require_agent(agent, workspace)
    defaults = {} if replaces is None else {name: read_text(replaces)}
    store = PromptStore(workspace.home)
    version = store.put(agent, {name: read_text(file)}, defaults=defaults)
    if as_json:
        print_json(msgspec.to_builtins(version))
    else:
        typer.echo(f"{version.id}\nnext: burnish eval {agent} --prompt {version.id} --register")


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        SettingsError: It cannot be read as UTF-8.
    """
    from burnish.errors import SettingsError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError(
            f"{path} cannot be read: {problem}", "a text file in UTF-8"
        ) from problem


def _describe_version(home: Path, version: Any) -> dict[str, Any]:
    """Describe a version, with its candidacies and the places where it serves."""
    from burnish.adapters import Registry
    from burnish.canary import Rollout

    document = Rollout(home, version.agent).document()
    fact: dict[str, Any] = msgspec.to_builtins(version)
    fact["candidates"] = [
        {"adapter": one.adapter, "decision": one.decision, "forced": one.forced}
        for one in Registry(home).list(version.agent)
        if one.prompt == version.id
    ]
    fact["history"] = _list_history(home, version)
    targets = {role: getattr(document, role) for role in ("stable", "canary", "previous")}
    fact["serves"] = [
        f"{role} of {version.agent}"
        for role, target in targets.items()
        if target is not None and target.prompt == version.id
    ]
    return fact


def _list_history(home: Path, version: Any) -> list[dict[str, Any]]:
    """List who did what with a version, oldest first, from the audit trail of its agent."""
    from burnish.adapters import Registry

    return [
        {
            "at": format_time(action["at_ns"]),
            "by": action["actor"],
            "action": action["action"],
            "forced": bool(detail.get("forced")),
        }
        for action in Registry(home).audit(version.agent)
        if isinstance(detail := action["detail"], dict) and _names(detail, version.id)
    ]


def _names(value: Any, version: str) -> bool:
    """Report if a detail of the audit trail names a version."""
    if isinstance(value, dict):
        return any(_names(one, version) for one in value.values())
    return isinstance(value, str) and version in value


def _describe_action(line: dict[str, Any]) -> str:
    forced = " (forced)" if line["forced"] else ""
    return f"{line['at']} {line['action']}{forced} by {line['by']}"


def _describe_candidate(line: dict[str, Any]) -> str:
    forced = " (forced)" if line["forced"] else ""
    return f"{line['decision']}{forced} with {line['adapter'] or 'the base model'}"
