"""List the names of agents in burnish.toml and in a workspace, and refuse another name.

`require_agent` is the entry of every command that takes a name and reads the workspace.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from burnish import settings
from burnish.config import config_file
from burnish.config.nearest_names import suggest_name
from burnish.errors import BurnishError, UnknownAgent
from burnish.trajectories.run_reader import RunReader


def require_agent(agent: str | None, workspace: RunReader) -> None:
    """Refuse a name that is neither in burnish.toml nor in the workspace; its answer would be empty.

    Args:
        agent: Name of the agent; None is accepted.
        workspace: The workspace that is read.

    Raises:
        UnknownAgent: Neither has the name.
    """
    path, declared = read_declared()
    if agent is None or agent in declared:
        return
    known = declared | list_recorded(workspace)
    if agent in known:
        return
    file = f"in {path}" if path is not None else f"in a {config_file.NAME} here or above"
    raise UnknownAgent(
        f"agent {agent!r} is neither {file} nor in {workspace.home}",
        suggest_name(agent, known) if known else "a name that one of them knows",
        "burnish traces list, which shows the agents with runs"
        if known
        else "burnish init, or --home with the workspace of the agent",
    )


def read_declared() -> tuple[Path | None, set[str]]:
    """Return the burnish.toml that is in force, and the names of its agents; none where it cannot be read."""
    with contextlib.suppress(BurnishError):
        path = settings.current().config or config_file.find_config()
        if path is None:
            return None, set()
        path = path / config_file.NAME if path.is_dir() else path
        agents: Any = config_file.read_tables(path).get("agent", {})
        return path, set(agents) if isinstance(agents, dict) else set()
    return None, set()


def list_recorded(workspace: RunReader) -> set[str]:
    """Return the names in the workspace, from runs, rollouts, candidates, prompts, adapters and rounds.

    Args:
        workspace: The workspace.
    """
    from burnish.adapters.prompt_store import PromptStore
    from burnish.adapters.store import AdapterStore

    home = workspace.home
    found = {version.agent for version in PromptStore(home).list()}
    found |= {manifest.name for manifest in AdapterStore(home).list()}
    rounds = [path.name.rpartition("-") for path in home.glob("runs/retrain-*")]
    found |= {name.removeprefix("retrain-") for name, _, number in rounds if number.isdigit()}
    with contextlib.suppress(BurnishError):  # the command itself reports a damaged database
        found |= _list_controlled(home)
    return found | set(workspace.agents())


def _list_controlled(home: Path) -> set[str]:
    from burnish.adapters import Registry

    if not (home / "control.sqlite").exists():
        return set()
    return {str(action["agent"]) for action in Registry(home).audit()}


__all__ = ["list_recorded", "read_declared", "require_agent"]
