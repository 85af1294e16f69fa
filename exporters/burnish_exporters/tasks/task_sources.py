"""Return the tasks of a pool from everything that `tasks` in burnish.toml names: functions, files and folders.

`load_tasks` is the entry.
"""

from __future__ import annotations

import hashlib
import inspect
import random
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from burnish.errors import EvaluationError
from burnish.imports.import_path import resolve_object
from burnish.project import AgentConfig
from burnish.records import Task
from burnish_exporters.tasks.harbor import is_harbor_folder, read_harbor_tasks
from burnish_exporters.tasks.task_files import pool_of_file, read_tasks

_IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]{0,200}:[A-Za-z_][\w.]{0,200}")


def list_sources(config: AgentConfig) -> list[str]:
    """Return what `tasks` of an agent names, each as written.

    Args:
        config: The agent's table.
    """
    given = config.tasks
    return [] if given is None else [given] if isinstance(given, str) else list(given)


def list_task_places(config: AgentConfig, folder: Path) -> list[Path]:
    """Return the files and folders that `tasks` names.

    Args:
        config: The agent's table.
        folder: Folder of burnish.toml.
    """
    return [folder / spec for spec in list_sources(config) if not is_function(spec, folder)]


def is_function(spec: str, folder: Path) -> bool:
    """Report if a source is "module:function".

    Args:
        spec: The source.
        folder: Folder of burnish.toml.
    """
    return bool(_IMPORT_PATH.fullmatch(spec)) and not (folder / spec).exists()


def load_tasks(
    config: AgentConfig, folder: Path, pool: str, n: int | None = None, seed: int = 0
) -> list[Task]:
    """Return tasks of a pool.

    Args:
        config: The agent's table.
        folder: Folder of burnish.toml.
        pool: Name of the pool.
        n: Largest number of tasks; by default all of the pool.
        seed: Chooses among more than `n` tasks of a file; passed on to a function that takes a `seed`.

    Raises:
        EvaluationError: burnish.toml names no tasks, a function returns an item that is not a task, a file has a line
            without one, or two tasks share an id.
    """
    sources = list_sources(config)
    if not sources:
        raise EvaluationError(
            f"agent {config.name!r} has no tasks",
            'tasks = "module:function" that gives the tasks of a pool, or tasks = "tasks/"',
            f"write it into [agent.{config.name}] of burnish.toml",
        )
    found: list[Task] = []
    for spec in sources:
        if is_function(spec, folder):
            found += _call_function(spec, folder, pool, n, seed)
        else:
            found += _draw(_read_place(folder / spec, pool), n, seed)
    return decode_tasks(found)[:n]


def decode_tasks(given: Iterable[Any]) -> list[Task]:
    """Return tasks from the user's own form: mappings with `id` and `input`.

    Raises:
        EvaluationError: An item is not a task, or two tasks share an id.
    """
    found = [item if isinstance(item, Task) else _decode_task(item) for item in given]
    ids = [task.id for task in found]
    twice = next((i for i in ids if ids.count(i) > 1), None) if len(set(ids)) < len(ids) else None
    if twice is not None:
        raise EvaluationError(f"two tasks have the id {twice!r}", "a different id for each task")
    return found


def hash_tasks(tasks: Iterable[Task]) -> str:
    """Hash tasks, their inputs and their data; tags do not count.

    Args:
        tasks: The tasks, in order.
    """
    facts = [{"id": t.id, "input": t.input, "kind": t.kind, "data": t.data} for t in tasks]
    encoder = msgspec.json.Encoder(order="sorted")
    return hashlib.sha256(encoder.encode(facts)).hexdigest()


def _call_function(spec: str, folder: Path, pool: str, n: int | None, seed: int) -> list[Task]:
    named = resolve_object(spec, folder)
    if not callable(named):
        raise EvaluationError(
            f"tasks = {spec!r} names {type(named).__name__}",
            "a function or class",
            "edit burnish.toml",
        )
    function: Callable[..., Any] = named
    known = inspect.signature(function).parameters
    options = {k: v for k, v in {"n": n, "seed": seed}.items() if k in known}
    try:
        given: list[Any] = list(function(pool, **options))
    except (ValueError, TypeError, LookupError) as error:
        raise EvaluationError(
            f"{spec} gives no tasks of pool {pool!r}: {error}",
            "a list of tasks, each with id and input",
            f"call {spec}({pool!r}) by hand",
        ) from error
    return decode_tasks(given)


def _read_place(place: Path, pool: str) -> list[Task]:
    """Return the measured tasks of a file, of a folder of files, or of folders of Harbor tasks."""
    if not place.exists():
        raise EvaluationError(
            f"tasks: {place} does not exist",
            'a file or folder of tasks, or "module:function"',
            "edit `tasks` in burnish.toml, or burnish tasks from-traces",
        )
    if is_harbor_folder(place):
        return read_harbor_tasks(place) if (pool_of_file(place) or "heldout") == pool else []
    found = [s.task for s in read_tasks(place) if s.pool == pool and not s.retired]
    if place.is_dir():
        for inner in sorted(place.iterdir()):
            if pool_of_file(inner) == pool and is_harbor_folder(inner):
                found += read_harbor_tasks(inner)
    return found


def _draw(tasks: Sequence[Task], n: int | None, seed: int) -> list[Task]:
    """Return at most `n` tasks; which ones depends on the seed."""
    if n is None or n >= len(tasks):
        return list(tasks)
    return random.Random(seed).sample(list(tasks), n)  # noqa: S311 - a choice of tasks, no secret


def _decode_task(item: Any) -> Task:
    if not isinstance(item, dict) or "id" not in item or "input" not in item:
        raise EvaluationError(
            f"a task is {str(item)[:80]!r}",
            "a mapping with id and input",
            "look at the function that `tasks` in burnish.toml names",
        )
    tags: Any = item.get("tags", [])
    return Task(
        id=str(item["id"]),
        input=item["input"],
        kind=str(item.get("kind", "default")),
        tags=[str(tag) for tag in tags] if isinstance(tags, list | tuple) else [str(tags)],
        data=dict(item),
    )
