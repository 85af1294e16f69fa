"""Check each agent in burnish.toml for `burnish doctor`: imports, model, backend, journal.

`check_agents` imports and reaches everything that the tables name, so it runs the user's modules.
Packages above the SDK add checks under the entry-point group `burnish.doctor`: a function that
gets an `AgentConfig`, the folder of burnish.toml and that of the workspace (None: the configured one), returns or raises
a `BurnishError` for what is wrong, and may return texts on what it tried and left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from burnish.errors import BurnishError
from burnish.project import AgentConfig, Project

GROUP = "burnish.doctor"
_IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]{0,200}:[A-Za-z_][\w.]{0,200}")


class AgentCheck(NamedTuple):
    """The findings about an agent.

    Attributes:
        name: Name of the agent.
        problems: What is wrong, each with its remedy.
        notes: Checks that were tried or left out.
    """

    name: str
    problems: list[tuple[str, str]]
    notes: list[str]


def check_agents(project: Project, home: Path | None = None) -> Iterator[AgentCheck]:
    """Yield what is found about each agent.

    Args:
        project: What burnish.toml declares.
        home: Folder of the workspace.
    """
    for name, config in sorted(project.agents.items()):
        problems, notes = list[BurnishError](), list[str]()
        checks = [
            *(partial(check, config, project.folder) for check in _OWN_CHECKS),
            *(partial(check, config, project.folder, home) for check in _further_checks()),
        ]
        for check in checks:
            try:
                for found in check() or ():  # what comes before an error is kept
                    if isinstance(found, str):
                        notes.append(found)
                    else:
                        problems.append(found)
            except BurnishError as problem:
                problems.append(problem)
        fixes: dict[str, str] = {}
        for problem in problems:
            fixes[problem.found] = fixes.get(problem.found) or problem.fix
        named = [(found, fix or "edit burnish.toml") for found, fix in fixes.items()]
        yield AgentCheck(name, named, list(dict.fromkeys(notes)))


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


def _further_checks() -> list[Callable[..., Any]]:
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


_OWN_CHECKS: tuple[Callable[[AgentConfig, Path], Any], ...] = (
    _check_imports,
    _check_model,
    _check_backend,
)
