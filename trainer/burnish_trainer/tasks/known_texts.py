"""Collect the requests that an agent was trained on, or that are tasks already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from burnish.files.artefacts import list_row_files, read_columns, read_manifest
from burnish.records import Task
from burnish_exporters.curate.steps.contamination import OverlapIndex
from burnish_exporters.tasks.task_files import TASK_POOLS, StoredTask, read_tasks
from burnish_exporters.tasks.task_sources import (
    is_function,
    list_sources,
    list_task_places,
    load_tasks,
)
from burnish_trainer.evaluation.agent_project import AgentProject


@dataclass
class TrainingTexts:
    """Requests of training rows, and the runs that they come from."""

    requests: OverlapIndex = field(default_factory=lambda: OverlapIndex([]))
    runs: set[str] = field(default_factory=set[str])
    rows: int = 0


def read_training_texts(home: Path, agent: str) -> TrainingTexts:
    """Return the requests of all training rows of an agent's dataset versions.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
    """
    found = TrainingTexts()
    for path in list_row_files(home):
        manifest = read_manifest(path.parent.parent / "manifest.json") or {}
        if manifest.get("agent") != agent or not path.name.startswith("train"):
            continue
        for row in read_columns(path, ["messages", "trajectory_id"]) or ():
            found.rows += 1
            found.runs.add(str(row["trajectory_id"]))
            found.requests.add_text(_request_of_messages(row["messages"]))
    return found


def list_stored_tasks(subject: AgentProject) -> list[StoredTask]:
    """Return the tasks of all task files, the retired ones included.

    Args:
        subject: The agent.
    """
    places = list_task_places(subject.config, subject.project.folder)
    default = subject.project.folder / "tasks"
    if default.is_dir() and default not in [place.absolute() for place in places]:
        places.append(default)
    return [one for place in places if place.exists() for one in read_tasks(place)]


def list_known_tasks(subject: AgentProject) -> Iterator[tuple[str, Task]]:
    """Yield pool and task of every task of an agent, the retired ones included.

    Args:
        subject: The agent.
    """
    seen: set[str] = set()
    for stored in list_stored_tasks(subject):
        seen.add(stored.task.id)
        yield stored.pool, stored.task
    folder = subject.project.folder
    there = [
        spec
        for spec in list_sources(subject.config)
        if is_function(spec, folder) or (folder / spec).exists()
    ]
    config = msgspec.structs.replace(subject.config, tasks=there)
    for pool in TASK_POOLS if there else ():
        for task in load_tasks(config, folder, pool):
            if task.id not in seen:
                yield pool, task


def _request_of_messages(encoded: Any) -> str:
    """Return the user messages of a row as one text."""
    try:
        messages: Any = json.loads(encoded) if isinstance(encoded, str) else encoded
    except ValueError:
        return ""
    texts = [
        message.get("content")
        for message in messages or ()
        if isinstance(message, dict) and message.get("role") == "user"
    ]
    return "\n".join(text for text in texts if isinstance(text, str))
