"""Generate tasks for an agent: a generator proposes them with a gold call, a solver shows how hard they are.

    proposed = propose_tasks(model, tools, count=200)
    measured = measure_difficulty(proposed.tasks, solve, attempts=8)
    useful = [one.task for one in measured if 0.2 <= one.pass_rate <= 0.8]

proposals.py    the generator's proposals, their structural checks, and duplicates
difficulty.py   the solver's pass rate, and the generator's reward
"""

from __future__ import annotations

from burnish_trainer.generation.difficulty import (
    MeasuredTask,
    generator_reward,
    measure_difficulty,
    select_frontier,
)
from burnish_trainer.generation.proposals import (
    GeneratedTask,
    TaskProposals,
    check_proposal,
    propose_tasks,
)

__all__ = [
    "GeneratedTask",
    "MeasuredTask",
    "TaskProposals",
    "check_proposal",
    "generator_reward",
    "measure_difficulty",
    "propose_tasks",
    "select_frontier",
]
