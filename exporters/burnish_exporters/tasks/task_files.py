"""Read and write task files: one task a line, `tasks/*.jsonl`.

`read_task_file` is the entry. A file holds the tasks of the pool that it is named after (`heldout.jsonl`,
`heldout-refunds.jsonl`); a task's own `pool` goes before. A retired task stays in the file and is no longer measured.

    {"id": "refund-17", "input": {"messages": [{"role": "user", "content": "..."}]}, "kind": "refund",
     "tags": ["edge"], "reference": "12 EUR", "environment": {"order": 17}}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from burnish.config.nearest_names import suggest_name
from burnish.errors import EvaluationError
from burnish.files.storage import FileLock, atomic_write
from burnish.records import Json, Task

TASK_POOLS = ("train", "heldout", "standing", "capability")
MANIFEST = "tasks.lock"
_HIDDEN = ("pool", "tags", "origin", "retired")  # facts about a task that an attempt does not get
_LARGEST = 1 << 24  # bytes of a line


class StoredTask(NamedTuple):
    """A task of a file.

    Attributes:
        task: The task.
        pool: Its pool.
        path: Its file.
        line: Number of its line, from 1.
        row: The line as data.
    """

    task: Task
    pool: str
    path: Path
    line: int
    row: dict[str, Json]

    @property
    def retired(self) -> bool:
        """Report if the task is no longer measured."""
        return bool(self.row.get("retired"))


class _WrongLine(ValueError):
    """A line that holds no task."""


class LineProblem(NamedTuple):
    """A line that holds no task."""

    path: Path
    line: int
    problem: str

    def __str__(self) -> str:
        return f"{self.path.name}, line {self.line}: {self.problem}"


class TaskFile(NamedTuple):
    """The contents of a task file."""

    tasks: list[StoredTask]
    problems: list[LineProblem]


def read_task_file(path: Path) -> TaskFile:
    """Read all lines of a task file.

    Args:
        path: The file.

    Raises:
        EvaluationError: The file cannot be read.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as problem:
        raise EvaluationError(
            f"task file {path}: {problem.strerror or problem}",
            "a readable file of one task a line",
            "edit `tasks` in burnish.toml",
        ) from problem
    found, problems, first = list[StoredTask](), list[LineProblem](), dict[str, int]()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            stored = _read_line(path, number, line)
        except _WrongLine as problem:
            problems.append(LineProblem(path, number, str(problem)))
            continue
        earlier = first.setdefault(stored.task.id, number)
        if earlier != number:
            twice = f"the id {stored.task.id!r} is that of line {earlier}"
            problems.append(LineProblem(path, number, twice))
            continue
        found.append(stored)
    return TaskFile(found, problems)


def list_task_files(place: Path) -> list[Path]:
    """Return the task files of a path: the file itself, or those of a folder by name.

    Args:
        place: A file or a folder.
    """
    if not place.is_dir():
        return [place]
    return sorted(path for path in place.glob("*.jsonl") if path.is_file())


def read_tasks(place: Path) -> list[StoredTask]:
    """Return all tasks of a file or folder, the retired ones included.

    Args:
        place: A file or a folder.

    Raises:
        EvaluationError: A file cannot be read, a line holds no task, or two files hold the same id.
    """
    files = [read_task_file(path) for path in list_task_files(place)]
    problems = [problem for file in files for problem in file.problems]
    if problems:
        shown = "; ".join(map(str, problems[:3])) + ("; ..." if len(problems) > 3 else "")
        raise EvaluationError(
            f"{len(problems)} lines in {place} hold no task: {shown}",
            'JSON objects with a unique "id" and an "input"',
            f"edit {problems[0].path}",
        )
    found = [stored for file in files for stored in file.tasks]
    first: dict[str, StoredTask] = {}
    for stored in found:
        other = first.setdefault(stored.task.id, stored)
        if other is not stored:
            raise EvaluationError(
                f"two tasks have the id {stored.task.id!r}: {other.path.name}, line {other.line}, and "
                f"{stored.path.name}, line {stored.line}",
                "a different id for each task",
                f"edit {stored.path}",
            )
    return found


def write_tasks(
    path: Path, rows: Iterable[dict[str, Json]], *, retire: Sequence[str] = (), at: str = ""
) -> None:
    """Append tasks to a file, and retire some of its tasks, in one step.

    Args:
        path: The file; it is made if it is missing.
        rows: The new tasks.
        retire: Ids of tasks that are no longer to be measured.
        at: Time of the retirement.

    Raises:
        EvaluationError: The file holds a line without a task, or a task of that id already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.parent / ".lock")
    if not lock.acquire(wait_s=10.0):
        raise EvaluationError(f"{path} is being written", "one writer at a time", "try again")
    try:
        kept = [stored.row for stored in read_tasks(path)] if path.exists() else []
        gone, known = set(retire), {row["id"] for row in kept}
        kept = [{**row, "retired": at} if row["id"] in gone else row for row in kept]
        for row in rows:
            if row["id"] in known:
                raise EvaluationError(
                    f"{path} already holds a task {row['id']!r}",
                    "a new task",
                    f"burnish tasks show AGENT {row['id']}",
                )
            known.add(row["id"])
            kept.append(row)
        lines = [json.dumps(row).encode() + b"\n" for row in kept]
        atomic_write(path, lines)
    finally:
        lock.release()


def pool_of_file(path: Path) -> str | None:
    """Return the pool that a file is named after; None if its name is of no pool.

    Args:
        path: The file.
    """
    name = path.name.partition(".")[0].partition("-")[0]
    return name if name in TASK_POOLS else None


def _read_line(path: Path, number: int, line: bytes) -> StoredTask:
    """Return the task of a line.

    Raises:
        _WrongLine: It holds none.
    """
    if len(line) > _LARGEST:
        raise _WrongLine(f"{len(line)} bytes, more than {_LARGEST}")
    try:
        row: Any = msgspec.json.decode(line)
    except (ValueError, RecursionError) as problem:
        raise _WrongLine(f"no JSON ({problem})") from problem
    if not isinstance(row, dict):
        raise _WrongLine(f"a {type(row).__name__}, not an object")
    return StoredTask(_decode_row(row), _pool_of_row(row, path), path, number, row)


def _decode_row(row: dict[str, Json]) -> Task:
    task_id, tags, retired = row.get("id"), row.get("tags", []), row.get("retired", "")
    if not isinstance(task_id, str) or not task_id.strip():
        raise _WrongLine(f"id is {task_id!r}, not a text" if "id" in row else "no id")
    if row.get("input") is None:
        raise _WrongLine("no input")
    for key in ("kind", "family"):
        if not isinstance(row.get(key, ""), str):
            raise _WrongLine(f"{key} is {row[key]!r}, not a text")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise _WrongLine(f"tags is {tags!r}, not a list of texts")
    if not isinstance(retired, str):
        raise _WrongLine(f"retired is {retired!r}, not a time")
    return Task(
        id=task_id,
        input=row["input"],
        kind=row.get("kind") or "default",
        tags=tags,
        data={key: value for key, value in row.items() if key not in _HIDDEN},
    )


def _pool_of_row(row: dict[str, Json], path: Path) -> str:
    pool = row.get("pool", pool_of_file(path))
    if pool is None:
        raise _WrongLine(f"no pool, and {path.name} is named after none of {', '.join(TASK_POOLS)}")
    if pool not in TASK_POOLS:
        raise _WrongLine(f"pool is {pool!r}, expected {suggest_name(str(pool), TASK_POOLS)}")
    return pool


__all__ = [
    "MANIFEST",
    "TASK_POOLS",
    "LineProblem",
    "StoredTask",
    "TaskFile",
    "list_task_files",
    "pool_of_file",
    "read_task_file",
    "read_tasks",
    "write_tasks",
]
