"""Plan what a search for prompts may cost, and state what its proof can show, before the first attempt.

`plan_search` and `describe_proof` are the entries; `describe_undecided` judges the attempts afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from burnish.errors import EvaluationError
from burnish.project import GateConfig
from burnish.records import Task
from burnish_trainer.evaluation.agent_project import POOLS, AgentProject
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.power import describe_power

_MINIBATCH = 3  # tasks that a proposal is tried on first


class SearchPlan(NamedTuple):
    """The tasks and the budget of a search.

    Attributes:
        learning: Tasks to learn from.
        choosing: Tasks to choose by.
        attempts: Attempts at each task.
        budget: Most attempts in all.
    """

    learning: list[Task]
    choosing: list[Task]
    attempts: int
    budget: int

    @property
    def minibatch(self) -> int:
        """Return the number of tasks that a proposal is tried on first."""
        return min(_MINIBATCH, len(self.learning))

    @property
    def iteration(self) -> int:
        """Return the most attempts of one proposal: a small batch before and after it, and all tasks to choose by."""
        return self.attempts * (2 * self.minibatch + len(self.choosing))

    def has_room(self, spent: int, scores: int) -> bool:
        """Report if another proposal fits into the budget, whatever comes of it.

        Scores of attempts that are known cost nothing; their number is limited too, since a reflection model that
        repeats itself would never end the search.

        Args:
            spent: Attempts that were made.
            scores: Scores that GEPA got, those of known attempts included.
        """
        return spent + self.iteration <= self.budget and self.attempts * scores < self.budget

    def describe(self, spent: int) -> str:
        """Return the plan as a sentence.

        Args:
            spent: Attempts that earlier calls made.
        """
        before = f", {spent} of them made before" if spent else ""
        return (
            f"at most {self.budget} attempts{before}: GEPA learns from {len(self.learning)} training tasks and chooses by "
            f"{len(self.choosing)}; a proposal costs up to {self.iteration} attempts"
        )


def plan_search(subject: AgentProject, tasks: Sequence[Task], budget: int) -> SearchPlan:
    """Divide the training tasks, and refuse a budget that holds no proposal.

    Args:
        subject: The agent.
        tasks: Training tasks.
        budget: Most attempts in all.

    Raises:
        EvaluationError: The budget is too small.
    """
    half = len(tasks) // 2
    plan = SearchPlan(
        list(tasks[:half]), list(tasks[half:]), subject.config.evaluate.attempts, budget
    )
    least = plan.attempts * len(plan.choosing) + plan.iteration
    if budget < least:
        each = f" with {plan.attempts} attempts each" if plan.attempts > 1 else ""
        raise EvaluationError(
            f"a budget of {budget} attempts for {len(tasks)} training tasks{each}",
            f"at least {least}: the first prompt on the tasks to choose by, and one proposal",
            f"--budget {least}, or fewer training tasks with --tasks",
        )
    return plan


def describe_proof(subject: AgentProject) -> str:
    """State what the held-out tasks can show, and what the proof costs beside the budget.

    Raises:
        EvaluationError: There are no held-out tasks, so that no prompt can be proven.
    """
    pools = {pool: subject.tasks(pool) for pool in POOLS}
    if not pools["heldout"]:
        raise EvaluationError(
            f"agent {subject.name!r} has no held-out tasks, so that no prompt can be proven",
            "tasks in the pool heldout",
            f"burnish tasks from-traces {subject.name} --pool heldout",
        )
    power = describe_power(
        subject.workspace.home, subject.name, pools["heldout"], subject.config.gate
    )
    attempts = 2 * subject.config.evaluate.attempts * sum(map(len, pools.values()))
    return f"{power}; a better prompt is proven by {attempts} more attempts"


def describe_undecided(
    results: Sequence[AttemptResult], spent: int, rules: GateConfig
) -> str | None:
    """Return why the attempts without a verdict leave a search without a result; None if there are few.

    Args:
        results: Results without a verdict.
        spent: All attempts.
        rules: Rules of the gate.
    """
    if len(results) <= most_undecided(rules) * spent:
        return None
    reasons = Counter(result.reason or "no verifier decided" for result in results)
    reason, _ = reasons.most_common(1)[0]
    run = next((one.trajectory_id for one in results if one.trajectory_id), None)
    look = f"; burnish traces show {run}" if run else ""
    return (
        f"{len(results)} of {spent} attempts ended without a verdict ({reason[:120]}), "
        f"more than {most_undecided(rules):.0%}{look}"
    )


def most_undecided(rules: GateConfig) -> float:
    """Return the largest share of attempts without a verdict: the stricter of the gate's two limits.

    GEPA needs a score for each attempt, so an attempt that the gate would leave out still weighs on its choice.
    """
    return min(rules.max_unknown, rules.max_infrastructure_errors)


__all__ = ["SearchPlan", "describe_proof", "describe_undecided", "most_undecided", "plan_search"]
