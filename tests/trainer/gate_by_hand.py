"""Evaluations made by hand, from counts or from results by task."""

from __future__ import annotations

from burnish.records import Evaluation, PoolComparison
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.comparison import TaskFacts, compare_pool, group_attempts


def attempt(pool, task, number, success, cost=None):
    return AttemptResult(
        task_id=task,
        pool=pool,
        kind="k",
        attempt=number,
        label="success" if success else "fail",
        cost=cost or {},
    )


def compare(name, before, after, *, families=None, again=None, costs=None) -> PoolComparison:
    """Compare results by task.

    Args:
        name: Name of the pool.
        before: Results by task: True, or a list of attempts.
        after: The same of the new version.
        families: Family by task.
        again: Repeated attempts of the version before, by task.
        costs: Cost before and after, by task.
    """
    arms = []
    for side, results in enumerate((before, after)):
        arm = []
        for n, found in enumerate(results):
            tries = found if isinstance(found, list) else [found]
            cost = costs[n][side] if costs else None
            arm += [attempt(name, f"t{n}", k, bool(x), cost) for k, x in enumerate(tries, 1)]
        arms.append(arm)
    repeated = [
        attempt(name, f"t{n}", 100 + k, bool(x))
        for n, tries in enumerate(again or [])
        for k, x in enumerate(tries)
    ]
    facts = {
        f"t{n}": TaskFacts(str(families[n]) if families else f"t{n}", f"{name}-{n}")
        for n in range(len(before))
    }
    pairs = list(zip(*arms, strict=True))
    return compare_pool(name, pairs, facts, group_attempts(arms[0], repeated))


def pool(name, *, total, before, won, lost, family=1, **facts) -> PoolComparison:
    """Compare by counts: the first tasks are lost, the last ones won; `family` tasks in a row form a family."""
    old = [n < before for n in range(total)]
    new = [lost <= n < before or n >= total - won for n in range(total)]
    return compare(name, old, new, families=[n // family for n in range(total)], **facts)


def measured(
    *pools: PoolComparison, after: str | None = "support@0123456789ab", **facts
) -> Evaluation:
    return Evaluation(
        agent="support",
        base_model="starter",
        before=None,
        after=after,
        pools={p.pool: p for p in pools},
        trajectories=0,
        **facts,
    )
