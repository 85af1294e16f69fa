"""Compute what a set of tasks can show, under one set of assumptions for plans and reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from burnish.statistics.planning import count_tasks_needed, smallest_detectable_gain

ASSUMED = "assumed: 5 % of the tasks are lost, and families of similar tasks move together"
"""The assumptions of the power, as they are printed beside it."""

_LOST = 0.05  # share of all tasks that the new version is assumed to lose
SIZED_FOR = 0.05
"""The gain that a larger set is sized for."""


class HeldoutPower(NamedTuple):
    """The power of a held-out set.

    Attributes:
        tasks: Number of tasks.
        families: Families of tasks.
        number: Number of the decision on the set.
        level: Its level.
        smallest: Smallest true gain that is shown in 4 of 5 runs; None if none is.
        needed: Tasks that a gain of 5 points needs.
        design_effect: Factor by which families raise the variance.
    """

    tasks: int
    families: int
    number: int
    level: float
    smallest: float | None
    needed: int
    design_effect: float

    def count_tasks(self, gain: float) -> int:
        """Return the number of such tasks that show a gain, under the same assumptions.

        Args:
            gain: True gain, above 0.
        """
        return count_tasks_needed(
            gain, level=self.level, lost=_LOST, design_effect=self.design_effect
        )


def compute_power(families: Iterable[str], number: int, level: float) -> HeldoutPower:
    """Return what a set of tasks can show at a level; families are taken to move together, which is the worst case.

    Args:
        families: Family of each task, at least one.
        number: Number of the decision on the set.
        level: Its one-sided level.
    """
    sizes = Counter(families)
    tasks = sizes.total()
    effect = sum(size * size for size in sizes.values()) / tasks
    return HeldoutPower(
        tasks=tasks,
        families=len(sizes),
        number=number,
        level=level,
        smallest=smallest_detectable_gain(tasks, level=level, lost=_LOST, design_effect=effect),
        needed=count_tasks_needed(SIZED_FOR, level=level, lost=_LOST, design_effect=effect),
        design_effect=effect,
    )
