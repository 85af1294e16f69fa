"""Apply overrides of one call to the settings of an agent in burnish.toml."""

from __future__ import annotations

import difflib
from typing import Any

import msgspec

from burnish.errors import SettingsError
from burnish.project import AgentConfig, Project
from burnish_trainer.evaluation.agent_project import AgentProject

_TABLES = ("dataset", "train", "evaluate", "gate", "canary")


def apply_overrides(project: Project, agent: str, given: dict[str, Any]) -> AgentProject:
    """Return the agent with overrides.

    Args:
        project: The burnish.toml.
        agent: Name of the agent.
        given: Keys of `[agent.NAME]`; a mapping may give a part of a table.

    Raises:
        UnknownAgent: burnish.toml declares no such agent.
        SettingsError: A key is unknown or a value is wrong.
    """
    config = project.agent(agent)
    changes: dict[str, Any] = {}
    for key, value in given.items():
        known = [name for name in AgentConfig.__struct_fields__ if name != "name"]
        if key not in known:
            raise _unknown_setting(key, known, f"retrain({agent!r}, {key}=...)")
        changes[key] = _merge_table(config, key, value) if key in _TABLES else value
    try:
        changed = msgspec.convert(
            {**msgspec.to_builtins(config), **msgspec.to_builtins(changes)}, AgentConfig
        )
    except msgspec.ValidationError as error:
        raise SettingsError(
            f"retrain({agent!r}, ...): {error}",
            "values of the types that burnish.toml uses",
            f"look at [agent.{agent}] in {project.path}",
        ) from error
    return AgentProject(project, changed)


def _merge_table(config: AgentConfig, key: str, value: Any) -> dict[str, Any]:
    table = getattr(config, key)
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    if not isinstance(value, dict):
        raise SettingsError(f"{key} is {value!r}", "a mapping of settings", f"{key}={{...}}")
    for name in value:
        if name not in table.__struct_fields__:
            raise _unknown_setting(name, list(table.__struct_fields__), f"{key}={{{name!r}: ...}}")
    return {**msgspec.to_builtins(table), **value}


def _unknown_setting(name: str, known: list[str], where: str) -> SettingsError:
    near = difflib.get_close_matches(name, known, n=1)
    return SettingsError(
        f"unknown setting {name!r} in {where}",
        repr(near[0]) if near else f"one of {', '.join(known)}",
        "burnish doctor --keys",
    )
