"""Tell which gain the held-out tasks can show, and how often the set was used.

`describe_power` tells it before a run. Plans and reports use one function, `compute_power`, so both make the same
assumptions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from burnish.project import GateConfig
from burnish.records import Task
from burnish.statistics.multiplicity import spend_level
from burnish.statistics.planning import count_tasks_needed, smallest_detectable_gain
from burnish_trainer.evaluation.comparison import task_facts
from burnish_trainer.heldout_uses import next_number

ASSUMED = "assumed: 5 % of the tasks are lost, and families of similar tasks move together"
"""The assumptions of the power, as they are printed beside it."""

_LOST = 0.05  # share of all tasks that the new version is assumed to lose
_GAIN = 0.05  # the gain that a larger set is sized for


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


def describe_power(home: Path, agent: str, heldout: list[Task], rules: GateConfig) -> str:
    """Return a sentence on the smallest gain that the held-out tasks show, and the tasks that a smaller one needs.

    A remembered result that was decided before keeps the number of its decision; the sentence is about a new one.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
        heldout: The held-out tasks.
        rules: The gate's rules.
    """
    if not heldout:
        return f"{agent} has no held-out tasks: the gate cannot promote"
    found = measure_power(home, heldout, rules)
    families = f" in {found.families} families" if found.families < len(heldout) else ""
    shown = (
        f"a true gain of {100 * found.smallest:.1f} points is shown in 4 of 5 runs"
        if found.smallest is not None
        else "too few to show any gain"
    )
    more = f", {100 * _GAIN:.0f} points need {found.needed} tasks"
    return (
        f"{len(heldout)} held-out tasks{families}, a new result is decision {found.number} on them "
        f"(level {found.level:.2g}): {shown}{more if found.needed > len(heldout) else ''} ({ASSUMED})"
    )


def measure_power(home: Path, heldout: list[Task], rules: GateConfig) -> HeldoutPower:
    """Return what the held-out tasks can show in the next decision on them.

    Args:
        home: Folder of the workspace.
        heldout: The held-out tasks, at least one.
        rules: The gate's rules.
    """
    facts = task_facts(heldout)
    number = next_number(home, [fact.sha256 for fact in facts.values()])
    level = spend_level(1 - rules.confidence, number)
    return compute_power((fact.family for fact in facts.values()), number, level)


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
        needed=count_tasks_needed(_GAIN, level=level, lost=_LOST, design_effect=effect),
        design_effect=effect,
    )
