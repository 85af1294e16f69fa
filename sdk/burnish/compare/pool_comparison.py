"""Compare the outcomes of two files on the common tasks of one pool.

Where all outcomes are successes and failures and every common task has as many attempts in both files, attempts are
paired and the exact sign-flip test and Tango's interval apply (`burnish.statistics.paired`). Otherwise the means of the
tasks are compared (`burnish.statistics.means`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal, NamedTuple

from burnish.compare.compared import ComparedPool, ComparedSide
from burnish.compare.outcomes import ResultFile, TaskOutcome
from burnish.statistics.means import measure_mean_gain
from burnish.statistics.paired import PairedTask, mcnemar_p_value, measure_gain
from burnish.statistics.planning import count_tasks_needed, smallest_detectable_gain
from burnish.statistics.proportions import normal_quantile

_Groups = dict[str, list[TaskOutcome]]


class FilePool(NamedTuple):
    """The attempts that one file holds of a pool.

    Attributes:
        file: The file.
        groups: Attempts by task.
        incomplete: Tasks with an entry without an outcome.
    """

    file: ResultFile
    groups: dict[str, list[TaskOutcome]]
    incomplete: AbstractSet[str]


@dataclass(frozen=True, slots=True)
class _Measured:
    gain: float
    low: float
    high: float
    p_value: float
    families: int
    test: str
    smallest: float | None = None
    needed: int | None = None


def split_pools(file: ResultFile) -> dict[str, FilePool]:
    """Return what a file holds of each pool, with the attempts in the order of their numbers.

    Args:
        file: The file.
    """
    found: defaultdict[str, defaultdict[str, list[TaskOutcome]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for outcome in file.outcomes:
        found[outcome.pool][outcome.task].append(outcome)
    left_out: defaultdict[str, set[str]] = defaultdict(set)
    for pool, task in file.incomplete:
        left_out[pool].add(task)
    for groups in found.values():
        for several in groups.values():
            several.sort(key=lambda one: one.attempt or 0)
    return {
        pool: FilePool(file, dict(found.get(pool, {})), left_out.get(pool, set()))
        for pool in sorted(found.keys() | left_out.keys())
    }


def compare_pool(name: str, a: FilePool, b: FilePool, confidence: float) -> ComparedPool:
    """Compare the outcomes of two files on a pool.

    Args:
        name: Name of the pool.
        a: The current version; it has a task in common with B.
        b: The new version.
        confidence: Two-sided confidence of the interval.
    """
    common = sorted(a.groups.keys() & b.groups.keys())
    old, new = ({t: side.groups[t] for t in common} for side in (a, b))
    success = all(one.success for task in common for one in (*old[task], *new[task]))
    paired = success and all(_attempts_match(old[t], new[t]) for t in common)
    measured = (_measure_pairs if paired else _measure_means)(old, new, confidence)
    lacking = _find_lacking(a, b, 1 - confidence)
    shown = measured.p_value <= 1 - confidence and not measured.low <= 0 <= measured.high
    better = "b_better" if measured.gain > 0 else "a_better"
    shown = shown and better[0] != lacking
    fixed, broken, unsteady = _list_flips(old, new, success=success)
    return ComparedPool(
        pool=name,
        a=_describe_side(a, old),
        b=_describe_side(b, new),
        verdict=better if shown else "not_shown",
        metric="success" if success else "score",
        gain=measured.gain,
        interval=(measured.low, measured.high),
        confidence=confidence,
        p_value=measured.p_value,
        test=measured.test,
        tasks=len(common),
        families=measured.families,
        fixed=fixed,
        broken=broken,
        unsteady=unsteady,
        smallest_gain=measured.smallest,
        tasks_needed=None if shown else measured.needed,
        lacking=lacking,
    )


def _find_lacking(a: FilePool, b: FilePool, level: float) -> Literal["a", "b"] | None:
    """Return the file that lacks more results of the other than chance explains (exact McNemar)."""
    without_a = (b.groups.keys() - a.groups.keys()) | a.incomplete
    without_b = (a.groups.keys() - b.groups.keys()) | b.incomplete
    only_a, only_b = len(without_a - without_b), len(without_b - without_a)
    if mcnemar_p_value(only_a, only_b) > level:
        return None
    return "b" if only_b > only_a else "a"


def _attempts_match(a: Sequence[TaskOutcome], b: Sequence[TaskOutcome]) -> bool:
    return [one.attempt for one in a] == [one.attempt for one in b]


def _family_of(task: str, *several: Sequence[TaskOutcome]) -> str:
    given = (o.family for outcomes in several for o in outcomes if o.family is not None)
    return next(given, f"task {task}")


def _measure_pairs(old: _Groups, new: _Groups, confidence: float) -> _Measured:
    tasks = []
    for task, before in old.items():
        pairs = [(a.value, b.value) for a, b in zip(before, new[task], strict=True)]
        tasks.append(
            PairedTask(
                task,
                _family_of(task, before, new[task]),
                len(pairs),
                won=sum(a < b for a, b in pairs),
                lost=sum(a > b for a, b in pairs),
            )
        )
    gain = measure_gain(tasks, confidence)
    level, lost = (1 - confidence) / 2, min(gain.won, gain.lost) / max(gain.pairs, 1)
    effect = gain.design_effect * len(tasks) / max(gain.pairs, 1)
    needed = None
    if gain.gain:
        needed = count_tasks_needed(abs(gain.gain), level=level, lost=lost, design_effect=effect)
    alone = gain.clusters == gain.pairs
    return _Measured(
        gain.gain,
        gain.low,
        gain.high,
        gain.p_value,
        gain.clusters,
        "exact McNemar" if alone else "exact sign flips over families",
        smallest_detectable_gain(len(tasks), level=level, lost=lost, design_effect=effect),
        needed,
    )


def _measure_means(old: _Groups, new: _Groups, confidence: float) -> _Measured:
    values = [o.value for groups in (old, new) for several in groups.values() for o in several]
    span = max(1.0, max(values) - min(values))
    differences = [
        (_family_of(task, before, new[task]), _mean_value(new[task]) - _mean_value(before))
        for task, before in old.items()
    ]
    gain = measure_mean_gain(differences, confidence, span=span)
    needed = None
    if gain.gain and gain.clusters > 1:
        quantiles = normal_quantile(confidence) + normal_quantile(0.6)  # power .8: z of 0.84
        ratio = quantiles * gain.error / abs(gain.gain)
        needed = max(len(differences) + 1, round(len(differences) * ratio**2))
    return _Measured(
        gain.gain,
        gain.low,
        gain.high,
        gain.p_value,
        gain.clusters,
        "sign flips over families, t interval",
        needed=needed,
    )


def _mean_value(outcomes: Sequence[TaskOutcome]) -> float:
    return sum(o.value for o in outcomes) / len(outcomes)


def _list_flips(
    old: _Groups, new: _Groups, *, success: bool
) -> tuple[list[str], list[str], list[str]]:
    """Name the tasks that were fixed, that were broken, and that changed in some attempts."""
    fixed, broken, unsteady = [], [], []
    for task, before in old.items():
        was, now = _mean_value(before), _mean_value(new[task])
        if was == now:
            continue
        whole = not success or {was, now} == {0.0, 1.0}
        (fixed if now > was else broken).append(task) if whole else unsteady.append(task)
    return fixed, broken, unsteady


def _describe_side(side: FilePool, common: _Groups) -> ComparedSide:
    outcomes = [one for several in common.values() for one in several]
    costs = [one.cost for one in outcomes if one.cost is not None]
    paid = [one for one in outcomes if one.cost is not None and one.success]
    successes = sum(one.value for one in paid)
    return ComparedSide(
        name=side.file.name,
        format=side.file.format,
        mean=sum(map(_mean_value, common.values())) / len(common),
        attempts=len(outcomes),
        only_here=len(side.groups) - len(common),
        dropped={},
        cost=sum(costs) / len(costs) if costs else None,
        cost_per_success=sum(one.cost or 0 for one in paid) / successes if successes else None,
        cost_unit=side.file.cost_unit,
        costs=len(costs),
    )
