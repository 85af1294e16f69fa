"""Open an agent's environment for `burnish doctor`, and close it again.

`check_environment` opens it twice for one task, as two attempts would: an environment that keeps traces of the first
attempt starts in another state, and one that releases too little leaves files or threads behind. Everything runs in a
thread of its own, so that an environment that hangs is a finding.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from burnish.errors import BurnishError, EvaluationError
from burnish.imports.import_path import resolve_object
from burnish.journal.events import canonical
from burnish.project import AgentConfig
from burnish.records import Task

LIMIT_S = 60.0
"""Time in which an environment must open and close twice."""
_METHODS = ("open", "state", "close")


def check_environment(
    config: AgentConfig, folder: Path, tasks: Sequence[Task], limit_s: float = LIMIT_S
) -> Iterator[BurnishError]:
    """Yield what is wrong with the environment of an agent.

    Args:
        config: The agent's table.
        folder: Folder of burnish.toml.
        tasks: The tasks of all pools; the first one is opened.
        limit_s: Time limit.
    """
    name = config.environment
    if name is None or name == "live":
        return
    if name in ("replay", "shadow"):
        yield from _check_recorded(config, tasks)
        return
    if not tasks:  # nothing to open it with; readiness reports that tasks are missing
        return
    try:
        make = resolve_object(name, folder)
        for problem in _run_limited(lambda: _try_twice(make, config, tasks[0]), name, limit_s):
            yield EvaluationError(*problem)
    except BurnishError as problem:
        yield problem


def _check_recorded(config: AgentConfig, tasks: Sequence[Task]) -> Iterator[BurnishError]:
    """Yield what the environments of recorded runs lack."""
    if config.environment == "shadow" and not config.writing_tools:
        yield EvaluationError(
            'environment = "shadow" and no tool that writes is named',
            'writing_tools = ["TOOL"]',
            f"name all tools that change something in [agent.{config.name}] of burnish.toml",
        )
    without = [task.id for task in tasks if not task.data.get("origin")]
    if config.environment == "replay" and without:
        yield EvaluationError(
            f"{len(without)} of {len(tasks)} tasks name no run to replay, such as {without[0]!r}",
            "the key origin, with the id of a trajectory",
            f"burnish tasks from-traces {config.name}",
        )


_Problem = tuple[str, str, str]


def _run_limited(check: Callable[[], list[_Problem]], name: str, limit_s: float) -> list[_Problem]:
    """Run a check in a thread with a copy of the context; a check that does not end is a problem."""
    found: list[list[_Problem]] = []
    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: found.append(context.run(check)), daemon=True)
    thread.start()
    thread.join(limit_s)
    if found:
        return found[0]
    return [
        (
            f"environment {name} did not open and close twice within {limit_s:g} s",
            "an environment that opens in seconds",
            f"open {name} by hand with one of your tasks",
        )
    ]


def _try_twice(make: Any, config: AgentConfig, task: Task) -> list[_Problem]:
    """Open, read and close two environments one after the other."""
    name, fix = config.environment, f"open {config.environment} by hand with task {task.id!r}"
    states, left = list[bytes | None](), list[tuple[int, int]]()
    for _ in range(2):
        environment, step = None, "be made"
        try:
            environment = make()
            missing = [each for each in _METHODS if not callable(getattr(environment, each, None))]
            if missing:
                wanted = "an object with open(task), state() and close()"
                return [(f"environment {name} has no {', '.join(missing)}", wanted, fix)]
            step = "open"
            _call(environment.open, dict(task.data))
            step = "give its state as plain data"
            states.append(canonical(environment.state()))
            step = "close"
            _call(environment.close)
        except Exception as problem:  # noqa: BLE001 - an environment may raise anything
            if step.startswith("give"):
                _close_quietly(environment)
            told = f"{type(problem).__name__}: {str(problem)[:200]}"
            return [(f"environment {name} did not {step}: {told}", "no error", fix)]
        environment = None
        left.append(_count_held())
    return _compare(config, task, states, left)


def _compare(
    config: AgentConfig, task: Task, states: list[bytes | None], left: list[tuple[int, int]]
) -> list[_Problem]:
    """Return what the second of two environments shows about the first one."""
    name, problems = config.environment, list[_Problem]()
    if config.evaluate.same_start and states[0] != states[1]:
        problems.append(
            (
                f"environment {name} leaks: it starts task {task.id!r} in another state after it was opened before",
                "the same first state for each attempt",
                f"make it fresh in open(), or same_start = false in [agent.{config.name}.evaluate]",
            )
        )
    files, threads = left[1][0] - left[0][0], left[1][1] - left[0][1]
    if files > 0 or threads > 0:
        problems.append(
            (
                f"environment {name} leaks: each attempt leaves {files} open files and {threads} threads",
                "close() releases what open() took",
                "edit its close()",
            )
        )
    return problems


def _call(method: Callable[..., Any], *args: Any) -> None:
    if inspect.iscoroutinefunction(method):
        asyncio.run(method(*args))
    else:
        method(*args)


def _close_quietly(environment: Any) -> None:
    """Close an environment whose state cannot be read; that it cannot is the finding."""
    with contextlib.suppress(Exception):
        _call(environment.close)


def _count_held() -> tuple[int, int]:
    """Return the open files and the threads of this process."""
    gc.collect()
    try:
        files = sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        files = 0
    return files, threading.active_count()
