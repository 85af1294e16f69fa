"""Define the records of a comparison: its sides, its pools, and the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from burnish.records import Record

ComparisonVerdict = Literal["b_better", "a_better", "not_shown", "guard_broken"]


class ComparedSide(Record, frozen=True, kw_only=True):
    """One of the two files, on the common tasks of a pool.

    Attributes:
        name: Name of the file.
        format: Name of its format.
        mean: Mean over tasks of the success rate or score.
        attempts: Attempts at common tasks.
        only_here: Number of tasks of the pool that the other file does not have.
        dropped: Entries of the whole file without an outcome, by reason; empty in a guard.
        cost: Mean cost of an attempt; None if no attempt tells it.
        cost_per_success: Cost of all attempts by the successes among them; None without costs or successes.
        cost_unit: Unit of the costs.
        costs: Number of attempts that tell their cost.
        ignored: Values of the whole file that were ignored, by reason; empty in a guard.
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
    costs: int = 0
    ignored: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    notes: Sequence[str] = ()


class ComparedPool(Record, frozen=True, kw_only=True):
    """The comparison of two files on one pool of tasks.

    Attributes:
        pool: Name of the pool.
        a: The first file, the current version.
        b: The second file, the new version.
        verdict: The better file, or that no difference is shown; of a whole comparison also that B is shown to be worse on
            a guard.
        metric: Success, or a score.
        gain: Mean of B minus mean of A.
        interval: Interval of the gain.
        confidence: Two-sided confidence of the interval.
        p_value: Two-sided p-value; that of a guard is corrected over all guards (Holm).
        test: Name of the test.
        tasks: Number of common tasks.
        families: Number of their families.
        fixed: Tasks that A never solves and B always does; for scores, tasks that rise.
        broken: Tasks that A always solves and B never does; for scores, tasks that fall.
        unsteady: Tasks that change in some attempts.
        smallest_gain: Smallest true gain that these tasks show in four of five runs; None for scores.
        tasks_needed: Tasks that would show the measured difference; None if it is shown or there is none.
        lacking: The file that lacks significantly more results than the other, at the same level, "a" or "b". A task lacks a
            result if the file has none, or left one of its attempts out. What lacks may have failed, so this file is never
            called better.
    """

    pool: str
    a: ComparedSide
    b: ComparedSide
    verdict: ComparisonVerdict
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


class ComparisonReport(ComparedPool, frozen=True, kw_only=True):
    """The comparison of two files: that of the pool that decides, and of the others as guards.

    Attributes:
        guards: The other pools; a guard on which B is shown to be worse, or lacks results, keeps B from being better.
        shown: Pools that decide nothing: tasks of training.
        uncompared: Number of tasks of each pool of which no task is in both files.
        unmeasured: Guards of which B left every result out, so that they cannot be compared.
    """

    guards: Sequence[ComparedPool] = ()
    shown: Sequence[ComparedPool] = ()
    uncompared: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    unmeasured: Sequence[str] = ()

    @property
    def broken_guards(self) -> list[str]:
        """Names of the guards on which B is shown to be worse, lacks results, or has none."""
        broken = [
            one.pool for one in self.guards if one.verdict == "a_better" or one.lacking == "b"
        ]
        return broken + list(self.unmeasured)
