"""Measure pass@1 and pass@k, and notice when training makes an agent surer but narrower."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from burnish.errors import EvaluationError
from burnish.records import Record
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.grading import AttemptGrader
from burnish_trainer.evaluation.rollouts import AttemptRunner, RunOptions


class PassRates(Record, frozen=True, kw_only=True):
    """Shares of tasks solved by one attempt, and by at least one of k."""

    k: int
    tasks: int
    pass_at_1: float
    pass_at_k: float
    unscored: int = 0  # attempts that no verifier decided


def estimate_pass_rates(results: Iterable[AttemptResult], k: int) -> PassRates:
    """Return the mean over tasks of 1 - C(n - c, k) / C(n, k), for n attempts of which c succeeded.

    A task with fewer than k scored attempts is left out of both rates.
    Source: Chen et al. 2021, equation 1 (https://arxiv.org/abs/2107.03374).

    Args:
        results: Graded attempts.
        k: Attempts of which one has to succeed.

    Raises:
        EvaluationError: No task has k scored attempts.
    """
    by_task: dict[str, list[bool]] = defaultdict(list)
    unscored = 0
    for result in results:
        if result.label == "unknown":
            unscored += 1
        else:
            by_task[result.task_id].append(result.label == "success")
    known = [(len(found), sum(found)) for found in by_task.values() if len(found) >= k]
    if not known:
        raise EvaluationError(
            f"no task has {k} attempts with a verdict ({unscored} attempts have none)",
            f"{k} verdicts for some task",
            "burnish verify audit",
        )
    return PassRates(
        k=k,
        tasks=len(known),
        pass_at_1=sum(c / n for n, c in known) / len(known),
        pass_at_k=sum(1 - math.comb(n - c, k) / math.comb(n, k) for n, c in known) / len(known),
        unscored=unscored,
    )


def measure_pass_rates(
    subject: AgentProject, adapter: str | None, options: RunOptions, *, pool: str = "heldout"
) -> PassRates:
    """Run an agent several times on each task of a pool, and return its pass rates.

    Args:
        subject: The agent.
        adapter: Version that answers; None is the base model.
        options: Options of the attempts; k is their number.
        pool: The pool.
    """
    jobs = options.list_jobs({pool: subject.tasks(pool)})
    with AttemptGrader(subject) as grader:
        results = grader.grade(AttemptRunner(subject, adapter, options).run_jobs(jobs))
    return estimate_pass_rates(results, options.attempts)


def narrowing(before: PassRates, after: PassRates, *, margin: float = 0.02) -> str | None:
    """Return a warning if pass@1 rose while pass@k fell by more than the margin; None otherwise.

    Reinforcement learning often makes an agent repeat what it could already do, and lose what it could do seldom.
    Source: Yue et al. 2025 (https://arxiv.org/abs/2504.13837).

    Args:
        before: Rates before training.
        after: Rates after training, with the same k.
        margin: Fall of pass@k that is still noise.
    """
    if after.pass_at_1 <= before.pass_at_1 or after.pass_at_k >= before.pass_at_k - margin:
        return None
    return (
        f"narrowing: pass@1 rose from {before.pass_at_1:.1%} to {after.pass_at_1:.1%} while "
        f"pass@{after.k} fell from {before.pass_at_k:.1%} to {after.pass_at_k:.1%}: some tasks that "
        "were solved seldom are not solved any more"
    )
