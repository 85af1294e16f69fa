"""Check the task sets of an agent: overlap with training data and between pools, size, slices.

`check_sets` is the entry.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from burnish.errors import BurnishError
from burnish.records import Record, Task
from burnish_exporters.curate.steps.contamination import OverlapIndex
from burnish_exporters.tasks.task_files import TASK_POOLS, list_task_files, read_task_file
from burnish_exporters.tasks.task_sources import list_task_places
from burnish_trainer.evaluation.agent_project import POOLS, AgentProject, text_of_task
from burnish_trainer.tasks.known_texts import read_training_texts

SLICES = (
    "paraphrase",
    "edge",
    "unseen_tool",
    "unneeded_tool",
    "should_abstain",
    "instruction_hierarchy",
)
"""Slices that an evaluation needs beside the usual requests, as tags of tasks."""
_SHOWN = 10  # overlaps that are named


class SetCheck(Record, frozen=True, kw_only=True):
    """Findings about the task sets.

    Attributes:
        tasks: Number of tasks by pool.
        malformed: Lines that hold no task.
        unreadable: Sources whose tasks cannot be read.
        unread: Pools that were not counted, because their tasks cannot be read.
        trained: Measured tasks that overlap with training data, each with its kind of overlap.
        shared: Pairs of tasks of two pools that overlap.
        repeated: Number of tasks of each pool that repeat another one of it.
        slices: Number of tasks of each slice.
        power: What the held-out set can show.
    """

    tasks: dict[str, int]
    malformed: list[str] = msgspec.field(default_factory=list[str])
    unreadable: list[str] = msgspec.field(default_factory=list[str])
    unread: list[str] = msgspec.field(default_factory=list[str])
    trained: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    shared: list[tuple[str, str, str]] = msgspec.field(default_factory=list[tuple[str, str, str]])
    repeated: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    slices: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    power: str = ""

    @property
    def sound(self) -> bool:
        """Report if every task can be measured, and none leaks."""
        return not (self.malformed or self.unreadable or self.trained or self.shared)

    @property
    def missing_slices(self) -> list[str]:
        """Return the slices that no measured task belongs to; none while a pool is not counted."""
        if self.unread:
            return []
        return [name for name in SLICES if not self.slices.get(name)]


def check_sets(subject: AgentProject) -> SetCheck:
    """Check all task sets of an agent.

    Args:
        subject: The agent.
    """
    malformed = _list_malformed(subject)
    pools, problems = _read_pools(subject)
    texts = {pool: [(task, text_of_task(task)) for task in tasks] for pool, tasks in pools.items()}
    trained = _find_trained(subject, texts)
    measured = [task for pool in POOLS for task in pools.get(pool, [])]
    tags = Counter(tag for task in measured for tag in task.tags)
    return SetCheck(
        tasks={pool: len(tasks) for pool, tasks in pools.items()},
        malformed=malformed,
        unreadable=[] if malformed else list(dict.fromkeys(problems.values())),
        unread=list(problems),
        trained=trained,
        shared=_find_shared(texts),
        repeated={pool: n for pool, found in texts.items() if (n := _count_repeated(found))},
        slices={**dict.fromkeys(SLICES, 0), **dict(sorted(tags.items()))},
        power="" if "heldout" in problems else _describe_power(subject, pools),
    )


def list_findings(check: SetCheck, agent: str) -> list[tuple[str, str, str]]:
    """Return what was found as rows: what, found, what to do.

    Args:
        check: The check.
        agent: Name of the agent.
    """
    counts = [f"{n} {pool}" for pool, n in check.tasks.items()]
    counts += [f"{', '.join(check.unread)} not counted: see below"] if check.unread else []
    rows = [("tasks", ", ".join(counts) or "none", "")]
    rows += [("wrong line", problem, "edit the file") for problem in check.malformed[:_SHOWN]]
    place = f"edit `tasks` in [agent.{agent}] of burnish.toml"
    rows += [("not readable", problem, place) for problem in check.unreadable]
    rows += [
        ("in training data", f"{task}: {kind}", f"burnish tasks refresh {agent}")
        for task, kind in list(check.trained.items())[:_SHOWN]
    ]
    rows += [
        ("in two pools", f"{one} and {other}: {kind}", "remove one of them")
        for one, other, kind in check.shared[:_SHOWN]
    ]
    rows += [
        ("repeated", f"{n} tasks of {pool} are like another one", 'one "family" for each group')
        for pool, n in check.repeated.items()
    ]
    if check.power:
        rows.append(("size", check.power, ""))
    counted = ", ".join(f"{name} {n}" for name, n in check.slices.items() if n) or "none"
    missing = ", ".join(check.missing_slices)
    if not check.unread:
        rows.append(("slices", counted, f"missing: {missing}" if missing else ""))
    return rows


def _list_malformed(subject: AgentProject) -> list[str]:
    places = list_task_places(subject.config, subject.project.folder)
    files = [path for place in places if place.exists() for path in _task_files(place)]
    return [str(problem) for path in files for problem in read_task_file(path).problems]


def _task_files(place: Path) -> list[Path]:
    return [path for path in list_task_files(place) if path.suffix == ".jsonl"]


def _read_pools(subject: AgentProject) -> tuple[dict[str, list[Task]], dict[str, str]]:
    """Return the tasks by pool, and the errors of the pools that cannot be read."""
    pools, problems = dict[str, list[Task]](), dict[str, str]()
    for pool in TASK_POOLS:
        try:
            tasks = subject.tasks(pool)
        except BurnishError as problem:
            problems[pool] = problem.found
            continue
        if tasks:
            pools[pool] = tasks
    return pools, problems


def _find_trained(
    subject: AgentProject, texts: dict[str, list[tuple[Task, str]]]
) -> dict[str, str]:
    """Return the measured tasks that overlap with training rows or training tasks, by id."""
    known = read_training_texts(subject.workspace.home, subject.name).requests
    for _, text in texts.get("train", []):
        known.add_text(text)
    return {
        task.id: kind
        for pool in POOLS
        for task, text in texts.get(pool, [])
        if (kind := known.find_overlap(text)) is not None
    }


def _find_shared(texts: dict[str, list[tuple[Task, str]]]) -> list[tuple[str, str, str]]:
    """Return pairs of measured tasks of two pools that are the same or nearly so."""
    found: list[tuple[str, str, str]] = []
    for place, pool in enumerate(POOLS):
        for other in POOLS[place + 1 :]:
            index = OverlapIndex([text for _, text in texts.get(other, [])])
            for task, text in texts.get(pool, []):
                kind = index.find_overlap(text)
                if kind in ("exact", "near duplicate"):
                    found.append((task.id, _find_like(text, texts[other]), kind))
    return found


def _find_like(text: str, others: list[tuple[Task, str]]) -> str:
    return next((task.id for task, told in others if OverlapIndex([told]).find_overlap(text)), "?")


def _count_repeated(texts: list[tuple[Task, str]]) -> int:
    """Count tasks that repeat an earlier one of their pool and are of no common family."""
    index, count = OverlapIndex([]), 0
    for task, text in texts:
        if "family" not in task.data:
            count += index.find_overlap(text) in ("exact", "near duplicate")
            index.add_text(text)
    return count


def _describe_power(subject: AgentProject, pools: dict[str, list[Any]]) -> str:
    from burnish_trainer.evaluation.power import describe_power

    heldout = pools.get("heldout", [])
    return describe_power(subject.workspace.home, subject.name, heldout, subject.config.gate)
