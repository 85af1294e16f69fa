"""Change task files: add tasks, make a task of one run, exchange held-out tasks for fresh ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from burnish.errors import EvaluationError
from burnish.records import Json
from burnish_exporters.tasks.harbor import is_harbor_folder
from burnish_exporters.tasks.set_versions import SetVersion, record_version
from burnish_exporters.tasks.task_files import pool_of_file, read_tasks, write_tasks
from burnish_exporters.tasks.task_sources import list_task_places
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.tasks.from_traces import TaskSample, sample_tasks
from burnish_trainer.tasks.known_texts import list_known_tasks, list_stored_tasks
from burnish_trainer.tasks.run_task import NoTask, RunTaskMaker


class WrittenTasks(NamedTuple):
    """Tasks that were written.

    Attributes:
        path: The file.
        version: The version of the folder that they made.
        added: Number of new tasks.
        retired: Number of retired tasks.
        named: burnish.toml names the file or its folder.
    """

    path: Path
    version: SetVersion
    added: int
    retired: int
    named: bool


def add_rows(subject: AgentProject, pool: str, rows: Sequence[dict[str, Json]]) -> WrittenTasks:
    """Append tasks to the file of a pool.

    Args:
        subject: The agent.
        pool: The pool.
        rows: Lines of the tasks.

    Raises:
        EvaluationError: There are none, or the file cannot be read.
    """
    if not rows:
        raise EvaluationError(
            "no run gives a new task",
            "finished runs whose requests are neither tasks nor training data",
            f"burnish traces list --agent {subject.name}",
        )
    return _write(subject, pool, rows, (), "add")


def add_run(
    subject: AgentProject, trajectory_id: str, pool: str, tags: Sequence[str] = ()
) -> WrittenTasks:
    """Make a task of one run.

    Args:
        subject: The agent.
        trajectory_id: Id of the run, or its beginning.
        pool: The pool.
        tags: Slices that the task belongs to.

    Raises:
        EvaluationError: The run gives no task, is of another agent, or is a task already.
        WorkspaceError: There is no such run.
    """
    run = subject.workspace.trajectory(trajectory_id)
    if run.agent != subject.name:
        raise EvaluationError(
            f"trajectory {run.id} is of agent {run.agent!r}",
            f"one of {subject.name!r}",
            f"burnish traces list --agent {subject.name}",
        )
    try:
        row = RunTaskMaker(subject).make_row(run, tags=tags)
    except NoTask as reason:
        raise EvaluationError(
            f"trajectory {run.id} gives no task: {reason}",
            "a finished run with the input that started it",
            f"burnish traces show {run.id}",
        ) from reason
    known = next((p for p, task in list_known_tasks(subject) if task.id == row["id"]), None)
    if known is not None:
        raise EvaluationError(
            f"task {row['id']!r} is in the pool {known} already",
            "a run of another task",
            f"burnish tasks show {subject.name} {row['id']}",
        )
    return _write(subject, pool, [row], (), "add")


def refresh_heldout(
    subject: AgentProject,
    count: int | None = None,
    *,
    source: str = "production",
    since_ns: int | None = None,
    seed: int = 0,
) -> tuple[WrittenTasks, TaskSample]:
    """Exchange the held-out tasks of the task files for fresh ones from recorded runs.

    The old tasks stay in their files as retired. Decisions are counted by the tasks that they used, so the next decision
    on the fresh set is the first one.

    Args:
        subject: The agent.
        count: Number of fresh tasks; by default as many as are retired.
        source: Source of the runs.
        since_ns: Earliest start of a run.
        seed: Chooses among the runs.

    Raises:
        EvaluationError: No held-out tasks are in task files, or too few runs give fresh ones; nothing is changed then.
    """
    old = [one for one in list_stored_tasks(subject) if one.pool == "heldout" and not one.retired]
    if not old and count is None:
        raise EvaluationError(
            f"no held-out tasks of {subject.name!r} are in task files",
            "tasks/heldout.jsonl; tasks of a function are exchanged in its code",
            f"burnish tasks from-traces {subject.name} --pool heldout --count 50",
        )
    wanted = count or len(old)
    sample = sample_tasks(subject, wanted, source=source, since_ns=since_ns, seed=seed)
    if len(sample.rows) < wanted:
        left_out = ", ".join(f"{n} {reason}" for reason, n in sample.left_out.items()) or "none"
        raise EvaluationError(
            f"{sample.runs} runs give {len(sample.rows)} fresh tasks (left out: {left_out})",
            f"{wanted}",
            f"burnish tasks refresh {subject.name} --count {max(1, len(sample.rows))}, or record more runs",
        )
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    target = _file_of_pool(subject, "heldout")
    for path in sorted({one.path for one in old} - {target}):
        write_tasks(path, [], retire=[one.task.id for one in old if one.path == path], at=now)
    written = _write(subject, "heldout", sample.rows, [one.task.id for one in old], "refresh", now)
    return written, sample


def _write(
    subject: AgentProject,
    pool: str,
    rows: Sequence[dict[str, Json]],
    retire: Sequence[str],
    by: str,
    at: str = "",
) -> WrittenTasks:
    path = _file_of_pool(subject, pool)
    if pool_of_file(path) != pool:
        rows = [{**row, "pool": pool} for row in rows]
    write_tasks(path, rows, retire=retire, at=at)
    places = list_task_places(subject.config, subject.project.folder)
    named = any(place in (path, path.parent) for place in map(Path.absolute, places))
    return WrittenTasks(path, record_version(path.parent, by), len(rows), len(retire), named)


def _file_of_pool(subject: AgentProject, pool: str) -> Path:
    """Return the file that new tasks of a pool are written to: that of the first named place, else of `tasks/`."""
    folder = subject.project.folder.absolute()
    places = [place.absolute() for place in list_task_places(subject.config, folder)]
    places = [place for place in places if not is_harbor_folder(place)]
    place = next((p for p in places if p.suffix == ".jsonl" or p.is_dir()), None)
    place = place or next(iter(places), folder / "tasks")
    if place.suffix == ".jsonl":
        return place
    held = [one for one in (read_tasks(place) if place.is_dir() else []) if one.pool == pool]
    named = place / f"{pool}.jsonl"
    return named if named.exists() or not held else held[0].path
