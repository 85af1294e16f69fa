"""Two sets of results on the same tasks, side by side.

Knows: pairing, gain, regressions, costs. Does not know: how results came about, what is good enough (gate.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from burnish.records import PoolComparison, Rate
from burnish_trainer.evaluation.judging import Result, mean_cost
from burnish_trainer.evaluation.statistics import mcnemar, paired_interval, wilson

Pair = tuple[Result, Result]


def pairs_of(before: Sequence[Result], after: Sequence[Result]) -> list[Pair]:
    """Results of the same attempt at the same task, those left out where either is unknown."""
    later = {(r.pool, r.task_id, r.attempt): r for r in after}
    both = ((r, later.get((r.pool, r.task_id, r.attempt))) for r in before)
    return [(b, a) for b, a in both if a is not None and "unknown" not in (a.label, b.label)]


def compare(pool: str, pairs: Sequence[Pair]) -> PoolComparison:
    """The comparison of one pool.

    Args:
        pool: Its name.
        pairs: Results before and after, of this pool only.
    """
    won = sum(b.label == "fail" and a.label == "success" for b, a in pairs)
    lost = sum(b.label == "success" and a.label == "fail" for b, a in pairs)
    before, after = _rate([b for b, _ in pairs]), _rate([a for _, a in pairs])
    kinds = sorted({b.kind for b, _ in pairs})
    old, new = mean_cost([b for b, _ in pairs]), mean_cost([a for _, a in pairs])
    return PoolComparison(
        pool=pool,
        before=before,
        after=after,
        gain=(after.successes - before.successes) / max(len(pairs), 1),  # .95 - 1 is no -.05
        ci95=paired_interval(won, lost, len(pairs)),
        won=won,
        lost=lost,
        p_value=mcnemar(won, lost),
        by_kind={
            kind: {
                "before": _rate([b for b, _ in pairs if b.kind == kind]),
                "after": _rate([a for _, a in pairs if a.kind == kind]),
            }
            for kind in kinds
        },
        cost={key: {"before": old[key], "after": new.get(key, 0.0)} for key in old},
    )


def regressions(pairs: Sequence[Pair]) -> list[dict[str, str | None]]:
    """Tasks that were solved before and fail now, with both trajectories."""
    return [
        {"task": b.task_id, "pool": b.pool, "before": b.trajectory_id, "after": a.trajectory_id}
        for b, a in pairs
        if b.label == "success" and a.label == "fail"
    ]


def unknown_by_reason(*arms: Sequence[Result]) -> dict[str, int]:
    """How many attempts nobody could judge, by reason."""
    counts = Counter(
        result.reason or "no reason given"
        for arm in arms
        for result in arm
        if result.label == "unknown" and not result.infrastructure
    )
    return dict(sorted(counts.items()))


def faults_by_reason(results: Sequence[Result]) -> dict[str, int]:
    """How many attempts an error of the infrastructure ended, by error."""
    counts = Counter(r.reason or "no reason given" for r in results if r.infrastructure)
    return dict(sorted(counts.items()))


def _rate(results: Sequence[Result]) -> Rate:
    return wilson(sum(result.label == "success" for result in results), len(results))
