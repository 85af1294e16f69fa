"""Make tasks from recorded runs: a sample by kind, without near duplicates of one another or of training data.

`sample_tasks` is the entry.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from burnish.records import Json, Trajectory
from burnish_exporters.curate.steps.contamination import OverlapIndex
from burnish_trainer.evaluation.agent_project import AgentProject, text_of_task
from burnish_trainer.tasks.known_texts import (
    TrainingTexts,
    list_known_tasks,
    read_training_texts,
)
from burnish_trainer.tasks.run_task import NoTask, RunTaskMaker, request_of_row

_MOST_RUNS = 10_000  # the newest
_TRAINED_POOLS = ("train",)


class TaskSample(NamedTuple):
    """Tasks that were made from runs.

    Attributes:
        rows: Their lines.
        kinds: Number of tasks by kind.
        left_out: Number of runs that gave no task, by reason.
        runs: Number of runs that were read.
    """

    rows: list[dict[str, Json]]
    kinds: dict[str, int]
    left_out: dict[str, int]
    runs: int


def sample_tasks(
    subject: AgentProject,
    count: int,
    *,
    source: str = "production",
    since_ns: int | None = None,
    seed: int = 0,
    measured: bool = True,
) -> TaskSample:
    """Return at most `count` new tasks, made from runs of an agent.

    Args:
        subject: The agent.
        count: Number of tasks.
        source: Source of the runs; "all" takes those of production, rollouts, demonstrations and teachers.
        since_ns: Earliest start of a run.
        seed: Chooses among the runs.
        measured: The tasks are measured on, so that what was trained on gives none.
    """
    left_out: Counter[str] = Counter()
    runs = 0

    def read_runs() -> Iterator[Trajectory]:
        nonlocal runs
        for run in _list_runs(subject, source, since_ns):
            runs += 1
            yield run

    rows = list(_unique_rows(subject, read_runs(), left_out, seed, measured=measured))
    chosen = _choose_by_kind(rows, count)
    if len(rows) > len(chosen):
        left_out["more than asked for"] += len(rows) - len(chosen)
    kinds = Counter(str(row["kind"]) for row in chosen)
    return TaskSample(chosen, dict(kinds), dict(left_out), runs)


def _list_runs(subject: AgentProject, source: str, since_ns: int | None) -> Iterator[Trajectory]:
    workspace = subject.workspace
    entries = [
        entry
        for entry in workspace.entries()
        if entry.agent == subject.name
        and entry.started_ns >= (since_ns or 0)
        and (entry.source == source or (source == "all" and entry.source != "evaluation"))
    ]
    entries.sort(key=lambda entry: entry.started_ns)
    return workspace.read(entries[-_MOST_RUNS:])


def _unique_rows(
    subject: AgentProject,
    runs: Iterable[Trajectory],
    left_out: Counter[str],
    seed: int,
    *,
    measured: bool,
) -> Iterator[dict[str, Json]]:
    """Yield tasks in an order that depends on the seed; count the runs that give none."""
    home, name = subject.workspace.home, subject.name
    trained = read_training_texts(home, name) if measured else TrainingTexts()
    known = OverlapIndex([])
    ids, made = set[str](), set[str]()
    for pool, task in list_known_tasks(subject):
        ids.add(task.id)
        (trained.requests if measured and pool in _TRAINED_POOLS else known).add_text(
            text_of_task(task)
        )
    rows = _make_rows(subject, runs, trained.runs, left_out)
    rows.sort(key=lambda row: hashlib.blake2b(f"{seed}/{row['id']}".encode()).digest())
    for row in rows:
        text = request_of_row(row)
        overlap = trained.requests.find_overlap(text)
        if row["id"] in ids:
            left_out["a task already"] += 1
        elif overlap is not None:
            left_out[f"like training data ({overlap})"] += 1
        elif row["id"] in made or known.find_overlap(text) in ("exact", "near duplicate"):
            left_out["like another task"] += 1
        else:
            made.add(row["id"])
            known.add_text(text)
            yield row


def _make_rows(
    subject: AgentProject, runs: Iterable[Trajectory], trained: set[str], left_out: Counter[str]
) -> list[dict[str, Json]]:
    """Return a task for each run that gives one."""
    maker, rows = RunTaskMaker(subject), list[dict[str, Json]]()
    for run in runs:
        if run.metadata.get("pool") not in (None, "train"):
            left_out["an attempt at a measured task"] += 1
        elif run.id in trained:
            left_out["in the training data"] += 1
        else:
            try:
                rows.append(maker.make_row(run))
            except NoTask as reason:
                left_out[str(reason)] += 1
    return rows


def _choose_by_kind(rows: list[dict[str, Json]], count: int) -> list[dict[str, Json]]:
    """Return at most `count` rows: each kind by its share, and a rare kind at least once."""
    by_kind: dict[str, list[dict[str, Json]]] = defaultdict(list)
    for row in rows:
        by_kind[str(row["kind"])].append(row)
    total = len(rows)
    quota = {kind: len(found) * count / total for kind, found in by_kind.items()}
    given = dict.fromkeys(by_kind, 0)
    chosen: list[dict[str, Json]] = []
    while len(chosen) < min(count, total):
        waiting = [kind for kind in by_kind if given[kind] < len(by_kind[kind])]
        rarest = min(waiting, key=lambda kind: (given[kind] / quota[kind], kind))
        chosen.append(by_kind[rarest][given[rarest]])
        given[rarest] += 1
    return chosen
