"""Apply overrides of one call to the settings of an agent in burnish.toml."""

from __future__ import annotations

from typing import Any

import msgspec

from burnish.config.decoding import Fault, refuse_unknown, require_table
from burnish.project import Project, decode_agent
from burnish_trainer.evaluation.agent_project import AgentProject

_TABLES = ("dataset", "train", "evaluate", "gate", "canary", "loop")


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
    table, where = msgspec.to_builtins(project.agent(agent)), f"retrain({agent!r}, ...)"
    del table["name"]
    fault = Fault(fix="burnish doctor --keys")
    refuse_unknown(given, table, where, fault)
    changes = {
        key: _merge_table(table[key], value, f"{where}, {key}") if key in _TABLES else value
        for key, value in msgspec.to_builtins(given).items()
    }
    return AgentProject(project, decode_agent(agent, {**table, **changes}, where, fault))


def _merge_table(table: dict[str, Any], value: Any, where: str) -> dict[str, Any]:
    return {**table, **require_table(value, where)}
