"""Read burnish's own results: evaluations, stored evaluations, reports of retrains, cached arms and their logs.

Each pool of tasks keeps its name. What `evaluations/results` holds and the report of a retrain wrap an evaluation, and the
log of an arm wraps its results.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from burnish.compare.outcomes import HELDOUT, LeftOut, TaskOutcome, make_outcome, read_name
from burnish.records import TaskComparison

COST_UNIT = "output tokens"
NO_FAMILIES = "a cached arm names no families of tasks, so each task counts alone; evaluations/results names them"
_MOST_PAIRS = 100_000  # attempts at one task
_LABELS = ("success", "fail", "unknown")


def find_evaluation(content: dict[str, Any]) -> dict[str, Any] | None:
    """Return the evaluation in a document, on its own or wrapped; None if it holds none.

    Args:
        content: The decoded document.
    """
    for found in (content, content.get("evaluation")):
        if isinstance(found, dict) and isinstance(found.get("pools"), dict):
            return found
    return None


def is_arm_log(entry: Any) -> bool:
    """Return True if an entry has the form of a line of an arm's log."""
    return isinstance(entry, dict) and bool(entry) and entry.keys() <= {"ended", "result"}


def read_evaluation(content: dict[str, Any], side: str) -> Iterator[TaskOutcome | LeftOut]:
    """Yield the outcomes of one side; its pairs keep their places in both sides.

    Args:
        content: The evaluation.
        side: `before` or `after`.
    """
    place = ("before", "after").index(side)
    for name, pool in content["pools"].items():
        tasks = pool.get("tasks") if isinstance(pool, dict) else None
        if not isinstance(tasks, list) or not tasks:
            yield LeftOut(f"pool {name} has no results by task", pool=name)
            continue
        for entry in tasks:
            try:
                task = msgspec.convert(entry, TaskComparison)
            except msgspec.ValidationError:
                yield LeftOut("a task without its results", pool=name)
                continue
            yield from _expand_task(name, task, place)
    yield from _list_undecided(content, side)


def read_arm_entry(entry: Any) -> TaskOutcome | LeftOut:
    """Return the outcome of an attempt of a cached arm.

    Args:
        entry: The decoded attempt.
    """
    task = read_name(entry.get("task_id")) if isinstance(entry, dict) else None
    if task is None or entry.get("label") not in _LABELS:
        return LeftOut("no task or no label", task)
    pool = read_name(entry.get("pool")) or HELDOUT
    if entry["label"] == "unknown":
        return LeftOut(_tell_undecided(entry), task, pool)
    cost = entry.get("cost")
    return make_outcome(
        task,
        float(entry["label"] == "success"),
        pool=pool,
        attempt=entry.get("attempt"),
        cost=cost.get("output_tokens") if isinstance(cost, dict) else cost,
    )


def read_arm_log(entries: Iterator[Any]) -> Iterator[TaskOutcome | LeftOut]:
    """Yield the outcomes of an arm's log; an attempt that ended without a result is left out.

    Args:
        entries: The decoded lines; None for one that is cut.
    """
    ended: dict[tuple[str, str, Any], LeftOut] = {}
    known: set[tuple[str, str, Any]] = set()
    for entry in entries:
        if not is_arm_log(entry):
            yield LeftOut("a line that is cut or damaged")
            continue
        attempt = entry.get("ended")
        if isinstance(attempt, dict) and (task := read_name(attempt.get("task_id"))):
            pool = read_name(attempt.get("pool")) or HELDOUT
            key = (pool, task, attempt.get("attempt"))
            ended[key] = LeftOut("an attempt that ended and has no result yet", task, pool)
        if entry.get("result") is not None:
            found = read_arm_entry(entry["result"])
            number = entry["result"].get("attempt") if isinstance(entry["result"], dict) else None
            known.add((found.pool, found.task or "", number))
            yield found
    yield from (one for key, one in ended.items() if key not in known)


def _tell_undecided(entry: dict[str, Any]) -> str:
    if entry.get("status") == "skipped":
        return "not made, because a limit was reached"
    backend = entry.get("infrastructure") is True
    return "ended by an error of the backend" if backend else "no verifier could decide it"


def _list_undecided(content: dict[str, Any], side: str) -> Iterator[LeftOut]:
    """Yield the attempts of a side that are in no pair, because they have no verdict."""
    extras = content.get("extras")
    attempts = extras.get("attempts") if isinstance(extras, dict) else None
    several = attempts.get(side) if isinstance(attempts, dict) else None
    for entry in several if isinstance(several, list) else []:
        if isinstance(entry, dict) and entry.get("label") == "unknown":
            found = read_arm_entry(entry)
            if isinstance(found, LeftOut):
                yield found


def _expand_task(pool: str, task: TaskComparison, place: int) -> Iterator[TaskOutcome | LeftOut]:
    if not 0 <= task.lost <= task.solved <= task.pairs - task.won <= task.pairs <= _MOST_PAIRS:
        yield LeftOut("a task whose counts contradict each other", task.task, pool)
        return
    cost = task.cost.get("output_tokens")
    for n in range(task.pairs):
        was, now = n < task.solved, task.lost <= n < task.solved + task.won
        yield make_outcome(
            task.task,
            float((was, now)[place]),
            pool=pool,
            family=task.family or None,
            attempt=n + 1,
            cost=cost[place] if cost else None,
        )
