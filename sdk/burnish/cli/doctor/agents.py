"""Check each agent in burnish.toml for `burnish doctor`: imports, model, backend, journal.

`check_agents` imports and reaches everything that the tables name, so it runs the user's modules.
Packages above the SDK add checks under the entry-point group `burnish.doctor`: a function that
gets an `AgentConfig` and the folder of burnish.toml, and returns or raises a `BurnishError` for what is wrong.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from burnish.errors import BurnishError
from burnish.project import AgentConfig, Project

GROUP = "burnish.doctor"
_IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]{0,200}:[A-Za-z_][\w.]{0,200}")


def check_agents(project: Project) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield, for each agent, its name and the problems of its tables, each with its remedy."""
    for name, config in sorted(project.agents.items()):
        problems: list[BurnishError] = []
        for check in (_check_imports, _check_model, _check_backend, *_further_checks()):
            try:
                problems.extend(check(config, project.folder) or ())
            except BurnishError as problem:
                problems.append(problem)
        fixes: dict[str, str] = {}
        for problem in problems:
            fixes[problem.found] = fixes.get(problem.found) or problem.fix
        yield name, [(found, fix or "edit burnish.toml") for found, fix in fixes.items()]


def find_undeclared(project: Project, home: Path | None) -> Counter[str]:
    """Count the recorded runs of agents that burnish.toml does not declare."""
    from burnish.workspace import Workspace

    agents = Counter(entry.agent for entry in Workspace(home).entries())
    return Counter({name: count for name, count in agents.items() if name not in project.agents})


_BUILT_IN = ("live", "replay", "shadow")  # environments without a module


def count_without_thread(home: Path | None) -> tuple[int, int]:
    """Count production runs without a thread, and all production runs."""
    from burnish.journal.index.trajectory_index import Query
    from burnish.workspace import Workspace

    entries = Workspace(home).entries(Query(source="production"))
    return sum(entry.thread_id is None for entry in entries), len(entries)


def _further_checks() -> list[Callable[[AgentConfig, Path], Any]]:
    return [entry.load() for entry in metadata.entry_points(group=GROUP)]


def _check_imports(config: AgentConfig, folder: Path) -> list[BurnishError]:
    from burnish.imports.import_path import resolve_object

    named = [
        config.build,
        config.environment if config.environment not in _BUILT_IN else None,
        *_import_paths([config.tasks, config.verify, config.prove]),
    ]
    problems: list[BurnishError] = []
    for path in dict.fromkeys(filter(None, named)):
        try:
            resolve_object(path, folder)
        except BurnishError as problem:
            problems.append(problem)
    return problems


def _import_paths(value: Any) -> Iterator[str]:
    """Yield each text of a table that has the form "module:function"."""
    if isinstance(value, str):
        if _IMPORT_PATH.fullmatch(value):
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _import_paths(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _import_paths(inner)


def _check_model(config: AgentConfig, folder: Path) -> None:
    """Check the declared facts of the base model: it must be trainable, and servable by its backend."""
    from burnish.serving.contract.base_models import resolve_model
    from burnish.serving.contract.model_contract import refuse_agent_model

    del folder
    refuse_agent_model(resolve_model(config.base_model), config.backend)


def _check_backend(config: AgentConfig, folder: Path) -> None:
    """Ask a server for its models; raise the backend's error about address or token."""
    del folder
    if config.backend == "embedded":
        return
    from burnish.serving.backends import open_backend

    open_backend(config.backend).capabilities()
