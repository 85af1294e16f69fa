"""Measure what several attempts at each task tell: pass@1, pass@k; and success and gain of each slice and kind.

`measure_pass_at` and `measure_slices` are the entries. Intervals of pass@k are Wilson's over families of tasks: each family
counts as one observation, which is never too narrow. Gains are paired and clustered by family.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from burnish.records import Evaluation, PoolComparison, TaskComparison
from burnish.statistics.means import measure_mean_gain
from burnish.statistics.multiplicity import holm_adjust
from burnish.statistics.paired import measure_gain
from burnish.statistics.proportions import wilson_rate
from burnish.statistics.task_results import paired_tasks
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.guards.pass_at_k import pass_at_k
from burnish_trainer.report.figures.shares import Json, describe_mean, read_tags, spell_tag
from burnish_trainer.tasks.set_check import SLICES

_STEPS = (1, 2, 4, 8, 16, 32)
Labels = dict[str, list[bool]]
"""Whether each decided attempt at a task succeeded, by task."""


def measure_pass_at(
    evaluation: Evaluation, sides: Mapping[str, Sequence[AttemptResult]]
) -> dict[str, list[Json]]:
    """Return pass@k of each pool, for k up to the largest number of attempts at a task.

    A row counts the tasks with at least k decided attempts on each side.

    Args:
        evaluation: What was measured.
        sides: Attempts by side.
    """
    found: dict[str, list[Json]] = {}
    for name, pool in evaluation.pools.items():
        labels = {side: _label_tasks(name, results) for side, results in sides.items()}
        families = {task.task: task.family for task in pool.tasks}
        most = max((len(one) for by_task in labels.values() for one in by_task.values()), default=0)
        steps = sorted({k for k in _STEPS if k <= most} | ({most} if most else set()))
        found[name] = [row for k in steps if (row := _pass_at_row(k, labels, families))]
    return found


def _label_tasks(pool: str, results: Iterable[AttemptResult]) -> Labels:
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for one in results:
        if one.pool == pool and one.label != "unknown":
            found[one.task_id].append(one.label == "success")
    return dict(found)


def _pass_at_row(k: int, labels: Mapping[str, Labels], families: Mapping[str, str]) -> Json:
    sides = list(labels.values())
    tasks = [task for task in sides[0] if all(len(by_task.get(task, ())) >= k for by_task in sides)]
    if not tasks:
        return {}
    groups = len({families.get(task, task) for task in tasks})
    values = {
        side: {task: pass_at_k(len(by_task[task]), sum(by_task[task]), k) for task in tasks}
        for side, by_task in labels.items()
    }
    row: Json = {"k": k, "tasks": len(tasks), "families": groups}
    for side, by_task in values.items():
        row[side] = describe_mean(sum(by_task.values()) / len(tasks), groups)
    if len(sides) == 2:
        gain = measure_mean_gain(
            (families.get(task, task), values["after"][task] - values["before"][task])
            for task in tasks
        )
        row |= {"gain": gain.gain, "ci95": (gain.low, gain.high), "p_value": gain.p_value}
    return row


def measure_slices(
    evaluation: Evaluation, sides: Mapping[str, Sequence[AttemptResult]]
) -> dict[str, list[Json]]:
    """Return success and paired gain of each kind and tag of a pool; the p-values of a pool are corrected together.

    Args:
        evaluation: What was measured.
        sides: Attempts by side; they name the kinds of tasks.
    """
    kinds = {(r.pool, r.task_id): r.kind for results in sides.values() for r in results}
    found: dict[str, list[Json]] = {}
    for name, pool in evaluation.pools.items():
        rows = [
            _slice_row(group, several) for group, several in _group_tasks(name, pool, kinds).items()
        ]
        adjusted = holm_adjust({row["name"]: row["p_value"] for row in rows})
        found[name] = [{**row, "p_adjusted": adjusted[row["name"]]} for row in rows]
    return found


def _group_tasks(
    name: str, pool: PoolComparison, kinds: Mapping[tuple[str, str], str]
) -> dict[str, list[TaskComparison]]:
    by_kind: defaultdict[str, list[TaskComparison]] = defaultdict(list)
    by_tag: defaultdict[str, list[TaskComparison]] = defaultdict(list)
    for task in pool.tasks:
        by_kind[f"kind {kinds.get((name, task.task), 'default')}"].append(task)
        for tag in {spell_tag(tag) for tag in task.tags}:
            by_tag[tag].append(task)
    several = dict(sorted(by_kind.items())) if len(by_kind) > 1 else {}
    return {**several, **dict(sorted(by_tag.items()))}


def _slice_row(name: str, tasks: Sequence[TaskComparison]) -> Json:
    gain = measure_gain(paired_tasks(tasks))
    pairs, solved = sum(task.pairs for task in tasks), sum(task.solved for task in tasks)
    after = solved + gain.won - gain.lost
    return {
        "name": name,
        "tasks": len(tasks),
        "families": gain.clusters,
        "before": msgspec.to_builtins(wilson_rate(solved, pairs)),
        "after": msgspec.to_builtins(wilson_rate(after, pairs)),
        "gain": gain.gain,
        "ci95": (gain.low, gain.high),
        "p_value": gain.p_value,
    }


def list_missing_slices(evaluation: Evaluation) -> dict[str, str]:
    """Return the slices that an evaluation should have and has no task of, with the reason."""
    carried = {tag for tags in read_tags(evaluation.pools).values() for tag in tags}
    return {name: reason for name, reason in _explain_slices() if name not in carried}


def _explain_slices() -> Iterator[tuple[str, str]]:
    for name in SLICES:
        yield name, f"no task carries the tag {name}"
