"""Compare the outcomes of two files on their common tasks, and state the verdict.

Where all outcomes are successes and failures and every common task has as many attempts in both files, attempts are
paired and the exact sign-flip test and Tango's interval apply (`burnish.statistics.paired`). Otherwise the means of the
tasks are compared (`burnish.statistics.means`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from burnish.compare.outcomes import ResultFile, TaskOutcome
from burnish.compare.readers import read_results
from burnish.errors import EvaluationError
from burnish.records import Record
from burnish.statistics.means import measure_mean_gain
from burnish.statistics.paired import PairedTask, mcnemar_p_value, measure_gain
from burnish.statistics.planning import count_tasks_needed, smallest_detectable_gain
from burnish.statistics.proportions import normal_quantile


class ComparedSide(Record, frozen=True, kw_only=True):
    """One of the two files, on the common tasks.

    Attributes:
        name: Name of the file.
        format: Name of its format.
        mean: Mean over tasks of the success rate or score.
        attempts: Attempts at common tasks.
        only_here: Number of tasks that the other file does not have.
        dropped: Entries without an outcome, by reason.
        cost: Mean cost of an attempt; None if no attempt tells it.
        cost_per_success: Cost of all attempts by the successes among them; None without costs or successes.
        cost_unit: Unit of the costs.
        notes: What else a reader should know.
    """

    name: str
    format: str
    mean: float
    attempts: int
    only_here: int
    dropped: dict[str, int]
    cost: float | None
    cost_per_success: float | None
    cost_unit: str
    notes: Sequence[str] = ()


class ComparisonReport(Record, frozen=True, kw_only=True):
    """The comparison of two files.

    Attributes:
        a: The first file, the current version.
        b: The second file, the new version.
        verdict: The better file, or that no difference is shown.
        metric: Success, or a score.
        gain: Mean of B minus mean of A.
        interval: Interval of the gain.
        confidence: Two-sided confidence of the interval.
        p_value: Two-sided p-value.
        test: Name of the test.
        tasks: Number of common tasks.
        families: Number of their families.
        fixed: Tasks that A never solves and B always does; for scores, tasks that rise.
        broken: Tasks that A always solves and B never does; for scores, tasks that fall.
        unsteady: Tasks that change in some attempts.
        smallest_gain: Smallest true gain that these tasks show in four of five runs; None for scores.
        tasks_needed: Tasks that would show the measured difference; None if it is shown or there is none.
        lacking: The file that lacks significantly more tasks than the other, at the same level, "a" or "b". Its missing
            tasks may be its failures, so it is never called better.
    """

    a: ComparedSide
    b: ComparedSide
    verdict: Literal["b_better", "a_better", "not_shown"]
    metric: Literal["success", "score"]
    gain: float
    interval: tuple[float, float]
    confidence: float
    p_value: float
    test: str
    tasks: int
    families: int
    fixed: list[str]
    broken: list[str]
    unsteady: list[str]
    smallest_gain: float | None
    tasks_needed: int | None
    lacking: Literal["a", "b"] | None = None


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


_Groups = dict[str, list[TaskOutcome]]


def compare_files(
    a: str | Path, b: str | Path, *, metric: str | None = None, confidence: float = 0.95
) -> ComparisonReport:
    """Compare two files of results.

    Args:
        a: The file of the current version.
        b: The file of the new version.
        metric: Scorer or metric, where a file holds several.
        confidence: Two-sided confidence of the interval; the test has the level that fits it.

    Raises:
        EvaluationError: A file cannot be read, or they have no task in common.
    """
    before, after = read_results(a, metric), read_results(b, metric)
    if before.name == after.name:
        before.name, after.name = str(a), str(b)
    return compare_results(before, after, confidence=confidence)


def compare_results(a: ResultFile, b: ResultFile, *, confidence: float = 0.95) -> ComparisonReport:
    """Compare the outcomes of two files.

    Args:
        a: Outcomes of the current version.
        b: Outcomes of the new version.
        confidence: Two-sided confidence of the interval.

    Raises:
        EvaluationError: They have no task in common.
    """
    before, after = _group_tasks(a.outcomes), _group_tasks(b.outcomes)
    common = sorted(before.keys() & after.keys())
    if not common:
        raise EvaluationError(
            f"{a.name} and {b.name} have no task in common: "
            f"{min(before, default='none')!r} in one, {min(after, default='none')!r} in the other",
            "results on the same tasks, with the same ids",
        )
    success = all(one.success for task in common for one in (*before[task], *after[task]))
    paired = success and all(_attempts_match(before[t], after[t]) for t in common)
    old, new = ({t: groups[t] for t in common} for groups in (before, after))
    measured = (_measure_pairs if paired else _measure_means)(old, new, confidence)
    lacking = _find_lacking(len(before) - len(common), len(after) - len(common), 1 - confidence)
    shown = measured.p_value <= 1 - confidence and not measured.low <= 0 <= measured.high
    better = "b_better" if measured.gain > 0 else "a_better"
    shown = shown and better[0] != lacking
    fixed, broken, unsteady = _list_flips(old, new, success=success)
    return ComparisonReport(
        a=_describe_side(a, old, len(before) - len(common)),
        b=_describe_side(b, new, len(after) - len(common)),
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


def _find_lacking(only_a: int, only_b: int, level: float) -> Literal["a", "b"] | None:
    """Return the file that lacks more tasks of the other than chance explains (exact McNemar)."""
    if mcnemar_p_value(only_a, only_b) > level:
        return None
    return "b" if only_a > only_b else "a"


def _group_tasks(outcomes: Sequence[TaskOutcome]) -> _Groups:
    """Group attempts by task, in the order of their numbers."""
    found: defaultdict[str, list[TaskOutcome]] = defaultdict(list)
    for outcome in outcomes:
        found[outcome.task].append(outcome)
    for several in found.values():
        several.sort(key=lambda one: one.attempt or 0)
    return dict(found)


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


def _describe_side(found: ResultFile, groups: _Groups, only_here: int) -> ComparedSide:
    outcomes = [one for several in groups.values() for one in several]
    costs = [one.cost for one in outcomes if one.cost is not None]
    paid = [one for one in outcomes if one.cost is not None and one.success]
    successes = sum(one.value for one in paid)
    return ComparedSide(
        name=found.name,
        format=found.format,
        mean=sum(map(_mean_value, groups.values())) / len(groups),
        attempts=len(outcomes),
        only_here=only_here,
        dropped=dict(found.dropped),
        cost=sum(costs) / len(costs) if costs else None,
        cost_per_success=sum(one.cost or 0 for one in paid) / successes if successes else None,
        cost_unit=found.cost_unit,
        notes=list(found.notes),
    )
