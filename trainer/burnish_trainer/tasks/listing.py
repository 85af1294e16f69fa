"""Describe the task sets of an agent, and find one of its tasks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from burnish.config.nearest_names import suggest_name
from burnish.errors import EvaluationError
from burnish.records import Json, Task
from burnish_exporters.tasks.set_versions import describe_sets, read_manifest
from burnish_exporters.tasks.task_files import TASK_POOLS, read_tasks
from burnish_exporters.tasks.task_sources import hash_tasks, list_task_places
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.tasks.known_texts import list_stored_tasks


def describe_agent_sets(subject: AgentProject) -> dict[str, Json]:
    """Return size, kinds, tags and hash of each pool, and the versions of the folders.

    Args:
        subject: The agent.
    """
    stored = list_stored_tasks(subject)
    retired = Counter(one.pool for one in stored if one.retired)
    pools = [
        _describe_pool(pool, tasks, retired[pool])
        for pool in TASK_POOLS
        if (tasks := subject.tasks(pool)) or retired[pool]
    ]
    return {"agent": subject.name, "pools": pools, "versions": _describe_versions(subject)}


def find_task(subject: AgentProject, task_id: str) -> dict[str, Json]:
    """Return a task with its pool; a task of a file also with its place and its origin.

    Args:
        subject: The agent.
        task_id: Id of the task.

    Raises:
        EvaluationError: There is none.
    """
    ids: list[str] = []
    for stored in list_stored_tasks(subject):
        ids.append(stored.task.id)
        if stored.task.id == task_id:
            return {
                "pool": stored.pool,
                "file": str(stored.path),
                "line": stored.line,
                **stored.row,
            }
    for pool in TASK_POOLS if subject.config.tasks is not None else ():
        for task in subject.tasks(pool):
            ids.append(task.id)
            if task.id == task_id:
                return {"pool": pool, **msgspec.to_builtins(task)}
    raise EvaluationError(
        f"no task {task_id!r} of agent {subject.name!r}",
        suggest_name(task_id, ids) if len(ids) <= 20 else "the id of a task",
        f"burnish tasks list {subject.name}",
    )


def _describe_pool(pool: str, tasks: list[Task], retired: int) -> dict[str, Json]:
    kinds = Counter(task.kind for task in tasks)
    tags = Counter(tag for task in tasks for tag in task.tags)
    return {
        "pool": pool,
        "tasks": len(tasks),
        "retired": retired,
        "kinds": ", ".join(f"{name} {n}" for name, n in kinds.most_common()),
        "tags": ", ".join(f"{name} {n}" for name, n in tags.most_common()),
        "hash": hash_tasks(tasks)[:12],
    }


def _describe_versions(subject: AgentProject) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for place in list_task_places(subject.config, subject.project.folder):
        versions = read_manifest(place).versions if place.is_dir() else []
        if versions:
            last = versions[-1]
            current = last.pools == describe_sets(read_tasks(place))
            found.append(
                {"folder": str(place), "version": last.version, "at": last.at, "current": current}
            )
    return found
