"""Tell which gain the held-out tasks can show, and how often the set was used.

`describe_power` tells it before a run. Plans and reports use one function, `compute_power`, so both make the same
assumptions.
"""

from __future__ import annotations

from pathlib import Path

from burnish.project import GateConfig
from burnish.records import Task
from burnish.statistics.multiplicity import spend_level
from burnish.statistics.set_power import ASSUMED, SIZED_FOR, HeldoutPower, compute_power
from burnish_trainer.evaluation.comparison import task_facts
from burnish_trainer.heldout_uses import next_number


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
    more = f", {100 * SIZED_FOR:.0f} points need {found.needed} tasks"
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
