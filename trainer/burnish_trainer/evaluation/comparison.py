"""Compare two sets of results on the same tasks: pairing, gain, regressions, costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from burnish.records import PoolComparison, Rate
from burnish_trainer.evaluation.grading import AttemptResult, mean_cost
from burnish_trainer.evaluation.statistics import mcnemar_p_value, paired_interval, wilson_rate

Pair = tuple[AttemptResult, AttemptResult]


def pair_results(before: Sequence[AttemptResult], after: Sequence[AttemptResult]) -> list[Pair]:
    """Pair the results of the same attempt at the same task; leave out pairs with an unknown result."""
    later = {(r.pool, r.task_id, r.attempt): r for r in after}
    both = ((r, later.get((r.pool, r.task_id, r.attempt))) for r in before)
    return [(b, a) for b, a in both if a is not None and "unknown" not in (a.label, b.label)]


def compare_pool(pool: str, pairs: Sequence[Pair]) -> PoolComparison:
    """Compare the results of one pool.

    Args:
        pool: Name of the pool.
        pairs: Results before and after, of this pool only.
    """
    won = sum(b.label == "fail" and a.label == "success" for b, a in pairs)
    lost = sum(b.label == "success" and a.label == "fail" for b, a in pairs)
    before, after = _success_rate([b for b, _ in pairs]), _success_rate([a for _, a in pairs])
    kinds = sorted({b.kind for b, _ in pairs})
    old, new = mean_cost([b for b, _ in pairs]), mean_cost([a for _, a in pairs])
    return PoolComparison(
        pool=pool,
        before=before,
        after=after,
        gain=(after.successes - before.successes)
        / max(len(pairs), 1),  # .95 - 1 is not exactly -.05
        ci95=paired_interval(won, lost, len(pairs)),
        won=won,
        lost=lost,
        p_value=mcnemar_p_value(won, lost),
        by_kind={
            kind: {
                "before": _success_rate([b for b, _ in pairs if b.kind == kind]),
                "after": _success_rate([a for _, a in pairs if a.kind == kind]),
            }
            for kind in kinds
        },
        cost={key: {"before": old[key], "after": new.get(key, 0.0)} for key in old},
    )


def find_regressions(pairs: Sequence[Pair]) -> list[dict[str, str | None]]:
    """Return the tasks that were solved before and fail now, with both trajectories."""
    return [
        {"task": b.task_id, "pool": b.pool, "before": b.trajectory_id, "after": a.trajectory_id}
        for b, a in pairs
        if b.label == "success" and a.label == "fail"
    ]


def unknown_by_reason(*arms: Sequence[AttemptResult]) -> dict[str, int]:
    """Count the attempts without a label, by reason."""
    counts = Counter(
        result.reason or "no reason given"
        for arm in arms
        for result in arm
        if result.label == "unknown" and not result.infrastructure
    )
    return dict(sorted(counts.items()))


def faults_by_reason(results: Sequence[AttemptResult]) -> dict[str, int]:
    """Count the attempts that ended with an infrastructure error, by error."""
    counts = Counter(r.reason or "no reason given" for r in results if r.infrastructure)
    return dict(sorted(counts.items()))


def _success_rate(results: Sequence[AttemptResult]) -> Rate:
    return wilson_rate(sum(result.label == "success" for result in results), len(results))
