"""Tell before a run which gain the held-out tasks can show, and how often the set was used.

`describe_power` is the entry.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from burnish.project import GateConfig
from burnish.records import Task
from burnish.statistics.multiplicity import spend_level
from burnish.statistics.planning import count_tasks_needed, smallest_detectable_gain
from burnish_trainer.evaluation.comparison import task_facts
from burnish_trainer.heldout_uses import next_number

_GAIN = 0.05  # the gain that a larger set is sized for


def describe_power(home: Path, agent: str, heldout: list[Task], rules: GateConfig) -> str:
    """Return a sentence on the smallest gain that the held-out tasks show, and the tasks that a smaller one needs.

    Families are taken to move together, which is the worst case.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
        heldout: The held-out tasks.
        rules: The gate's rules.
    """
    if not heldout:
        return f"{agent} has no held-out tasks: the gate cannot promote"
    facts = task_facts(heldout)
    sizes = Counter(fact.family for fact in facts.values())
    effect = sum(size * size for size in sizes.values()) / len(heldout)
    number = next_number(home, [fact.sha256 for fact in facts.values()])
    level = spend_level(1 - rules.confidence, number)
    smallest = smallest_detectable_gain(len(heldout), level=level, design_effect=effect)
    needed = count_tasks_needed(_GAIN, level=level, design_effect=effect)
    families = f" in {len(sizes)} families" if len(sizes) < len(heldout) else ""
    shown = (
        f"a true gain of {100 * smallest:.1f} points is shown in 4 of 5 runs"
        if smallest is not None
        else "too few to show any gain"
    )
    more = f", {100 * _GAIN:.0f} points need {needed} tasks" if needed > len(heldout) else ""
    return (
        f"{len(heldout)} held-out tasks{families}, decision {number} on them "
        f"(level {level:.2g}): {shown}{more}"
    )
