"""Compare two files pool by pool, and state the verdict: that of the held-out tasks, with the other pools as guards.

A guard that B is shown to lose, with p-values that are corrected over all guards (Holm), keeps B from being better. Tasks of
training are shown and decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from burnish.compare.compared import ComparedPool, ComparedSide, ComparisonReport, ComparisonVerdict
from burnish.compare.outcomes import HELDOUT, ResultFile, TaskOutcome
from burnish.compare.pool_comparison import FilePool, compare_pool, split_pools
from burnish.compare.readers import read_results
from burnish.errors import EvaluationError
from burnish.statistics.multiplicity import holm_adjust

_TRAINING = "train"  # pool of the tasks of training

_Pools = dict[str, FilePool]


def compare_files(
    a: str | Path,
    b: str | Path,
    *,
    metric: str | None = None,
    confidence: float = 0.95,
    pool: str | None = None,
) -> ComparisonReport:
    """Compare two files of results.

    Args:
        a: The file of the current version.
        b: The file of the new version.
        metric: Scorer or metric, where a file holds several.
        confidence: Two-sided confidence of the interval; the test has the level that fits it.
        pool: The pool that decides; by default `heldout`, or the only common one.

    Raises:
        EvaluationError: A file cannot be read, or they have no task in common.
    """
    before, after = read_results(a, metric), read_results(b, metric)
    if before.name == after.name:
        before.name, after.name = str(a), str(b)
    return compare_results(before, after, confidence=confidence, pool=pool)


def compare_results(
    a: ResultFile, b: ResultFile, *, confidence: float = 0.95, pool: str | None = None
) -> ComparisonReport:
    """Compare the outcomes of two files.

    Args:
        a: Outcomes of the current version.
        b: Outcomes of the new version.
        confidence: Two-sided confidence of the interval.
        pool: The pool that decides; by default `heldout`, or the only common one.

    Raises:
        EvaluationError: They have no task in common, or not in the pool that decides.
    """
    before, after = split_pools(a), split_pools(b)
    common = sorted(
        name
        for name in before.keys() & after.keys()
        if before[name].groups.keys() & after[name].groups.keys()
    )
    if not common:
        raise _no_common_task_error(a, b)
    deciding = _choose_pool(common, pool, (a, b))
    compared = {name: compare_pool(name, before[name], after[name], confidence) for name in common}
    guards = _correct_guards(
        [compared[name] for name in common if name not in (deciding, _TRAINING)], 1 - confidence
    )
    decided = compared[deciding]
    report = ComparisonReport(
        **{name: getattr(decided, name) for name in ComparedPool.__struct_fields__},
        guards=guards,
        shown=[compared[name] for name in common if name == _TRAINING != deciding],
        uncompared=_count_uncompared(before, after, common),
        unmeasured=_list_unmeasured(before, after, common),
    )
    return msgspec.structs.replace(
        report,
        verdict=_judge(report),
        a=_tell_file(report.a, a),
        b=_tell_file(report.b, b),
    )


def _judge(report: ComparisonReport) -> ComparisonVerdict:
    """Return the verdict of the pool that decides, unless it is not worse and a guard is."""
    if report.broken_guards and report.verdict != "a_better":
        return "guard_broken"
    return report.verdict


def _list_unmeasured(before: _Pools, after: _Pools, common: Sequence[str]) -> list[str]:
    """Name the guards of which B attempted tasks of A, and left every result out."""
    return [
        name
        for name in sorted((before.keys() & after.keys()) - {*common, _TRAINING})
        if before[name].groups and after[name].incomplete and not after[name].groups
    ]


def _choose_pool(common: Sequence[str], pool: str | None, files: tuple[ResultFile, ...]) -> str:
    wanted = pool or HELDOUT
    if wanted in common:
        return wanted
    if pool is None and len(common) == 1:
        return common[0]
    names = " and ".join(one.name for one in files)
    raise EvaluationError(
        f"{names} have no task of the pool {wanted} in common, only of {', '.join(common)}",
        "the name of a common pool, whose tasks decide",
        f"burnish compare ... --pool {common[0]}",
    )


def _correct_guards(guards: list[ComparedPool], level: float) -> list[ComparedPool]:
    """Correct the p-values over all guards, and take back what is no longer shown."""
    adjusted = holm_adjust({one.pool: one.p_value for one in guards})
    return [
        msgspec.structs.replace(
            one,
            p_value=adjusted[one.pool],
            verdict=one.verdict if adjusted[one.pool] <= level else "not_shown",
        )
        for one in guards
    ]


def _tell_file(side: ComparedSide, file: ResultFile) -> ComparedSide:
    """Add what is known of the whole file."""
    return msgspec.structs.replace(
        side, dropped=dict(file.dropped), ignored=dict(file.ignored), notes=list(file.notes)
    )


def _count_uncompared(before: _Pools, after: _Pools, common: Sequence[str]) -> dict[str, int]:
    """Count the tasks of the pools that have no task in both files."""
    return {
        name: count
        for name in sorted((before.keys() | after.keys()) - set(common))
        if (count := sum(len(side[name].groups) for side in (before, after) if name in side))
    }


def _name_task(one: TaskOutcome) -> str:
    return f"{one.task!r}" + f" of {one.pool}" * (one.pool != HELDOUT)


def _no_common_task_error(a: ResultFile, b: ResultFile) -> EvaluationError:
    first, second = (min((_name_task(o) for o in file.outcomes), default="none") for file in (a, b))
    return EvaluationError(
        f"{a.name} and {b.name} have no task in common: {first} in one, {second} in the other",
        "results on the same tasks, with the same ids",
    )
