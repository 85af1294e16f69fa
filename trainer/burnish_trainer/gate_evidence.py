"""Turn the comparison of a pool into the evidence that the gate's rules test.

`gain_of` returns the gain, the other functions return a `LimitCheck`: a limit with its p-value and its sentences.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from burnish.project import GateConfig
from burnish.records import Evaluation, PoolComparison
from burnish.statistics.paired import (
    PairedGain,
    measure_excess_loss,
    measure_gain,
    paired_interval,
    sign_flip_p_value,
)
from burnish.statistics.proportions import normal_tail, student_tail
from burnish.statistics.task_results import paired_tasks

_COSTS: tuple[str, ...] = ("output_tokens", "steps", "tool_calls")
_ASSUMED_FAMILY = 3  # tasks that flip together, where a report does not name its tasks


@dataclass(frozen=True, slots=True)
class LimitCheck:
    """A limit and the evidence against it.

    Attributes:
        name: Name of the metric.
        statement: The measurement, as a sentence.
        p_worse: One-sided p-value: small if the limit is shown to be broken.
        broken: The end of the sentence if it is.
        doubt: The end of the sentence if the limit may be broken; empty if there is no doubt.
    """

    name: str
    statement: str
    p_worse: float
    broken: str = ""
    doubt: str = ""


def describe_unstable(found: Evaluation) -> list[str]:
    """Name the verifiers whose verdicts differed when a sample of runs was graded twice.

    Args:
        found: The Evaluation.
    """
    several: Any = found.extras.get("unstable_verdicts") or []
    counts = Counter(one["verifier"] for one in several)
    sizes = {one["verifier"]: one["of"] for one in several}
    return [
        f"{name} gave different verdicts on the same run {count} times; of each arm {sizes[name]} runs were graded twice"
        for name, count in counts.items()
    ]


def gain_of(pool: PoolComparison) -> PairedGain:
    """Return the gain of a pool.

    A report without results by task that states its families (as many as tasks: independent ones) is read with families
    of that size. One that does not (made by hand, or by an earlier version) cannot tell which tasks move together:
    families of three are assumed then, phrasings of one task, the usual way to enlarge a set.

    Args:
        pool: Comparison of the pool.
    """
    if pool.tasks:
        return measure_gain(paired_tasks(pool.tasks))
    won, lost, total = pool.won, pool.lost, pool.before.total
    size = total / pool.families if states_families(pool) else _ASSUMED_FAMILY
    clusters = max(1, round(total / size))
    effect = max(size, pool.design_effect)
    freedom = clusters - 1 if clusters < total else None
    low, high = paired_interval(won, lost, total, 0.95, effect, freedom)
    p_better = _count_p_value(won, lost, size)
    return PairedGain(
        gain=pool.gain,
        low=low,
        high=high,
        p_better=p_better,
        p_value=min(1.0, 2 * min(p_better, _count_p_value(lost, won, size))),
        won=won,
        lost=lost,
        pairs=total,
        clusters=clusters,
        design_effect=effect,
    )


def states_families(pool: PoolComparison) -> bool:
    """Return whether a pool tells which of its tasks move together, by task or by their number.

    Args:
        pool: Comparison of the pool.
    """
    return bool(pool.tasks) or 0 < pool.families <= pool.before.total


def pool_guard(pool: PoolComparison | None, allowed: float, doubtful: float) -> LimitCheck | None:
    """Test the loss on a pool that must not get worse.

    Args:
        pool: Comparison of the pool.
        allowed: Loss that is allowed.
        doubtful: Loss above which the result leaves doubt.
    """
    if pool is None:
        return None
    gain = gain_of(pool)
    low, high = format_points(gain.low), format_points(gain.high)
    return LimitCheck(
        name=pool.pool,
        statement=f"{pool.pool} {format_points(pool.gain)} [{low}, {high}]",
        p_worse=gain.p_below(-allowed),
        broken=f"shown to be below {format_points(-allowed)}",
        doubt=f"may be below {format_points(-doubtful)}" if pool.gain < -doubtful else "",
    )


def regression_guard(
    pools: Mapping[str, PoolComparison], allowed: float, *, rejected: bool = False
) -> LimitCheck | None:
    """Test the tasks that were solved before and fail now, beyond what the current version loses by itself.

    The limit is doubtful when the excess lies more than one standard error above it. Without repeated attempts of the
    current version, losses above the limit can be chance and never reject.

    Args:
        pools: Comparisons by pool.
        allowed: Share of solved tasks that may be lost.
        rejected: The held-out gain alone rejects, so the current version need not run again.
    """
    found = [pools[name] for name in ("heldout", "standing") if name in pools]
    solved, lost = sum(p.before.successes for p in found), sum(p.lost for p in found)
    if not solved or lost <= allowed * solved:
        return None
    statement = (
        f"{lost} of {solved} tasks that were solved before now fail, more than {allowed:.0%}"
    )
    tasks = [
        task._replace(family=f"{pool.pool} {task.family}")
        for pool in found
        for task in paired_tasks(pool.tasks)
    ]
    excess = measure_excess_loss(tasks)
    if not excess.repeats:
        doubt = "the current version was not run again, so some of them may be chance; " + (
            "the gain alone decides"
            if rejected
            else "set repeat_base or attempts in [agent.NAME.evaluate]"
        )
        return LimitCheck("regressions", statement, 1.0, doubt=doubt)
    again = f"{excess.lost_again} of {excess.repeats}"
    above = (excess.excess - allowed) / excess.error
    return LimitCheck(
        name="regressions",
        statement=f"{statement}; run again, the current version fails {again}, which leaves {excess.excess:.1%} "
        f"(standard error {excess.error:.1%})",
        p_worse=student_tail(above, excess.freedom),
        broken=f"shown to be above {allowed:.0%}",
        doubt=f"may be above {allowed:.0%}" if above > 1 else "",
    )


def cost_guards(heldout: PoolComparison, rules: GateConfig) -> list[LimitCheck]:
    """Test the cost and the duration of a run on held-out tasks.

    Args:
        heldout: Comparison of the held-out pool.
        rules: The gate's rules.
    """
    limits: dict[str, float] = dict.fromkeys(_COSTS, rules.max_cost_ratio)
    if rules.max_latency_ratio is not None:
        limits["latency_s"] = rules.max_latency_ratio
    found = (_cost_guard(heldout, measure, ratio) for measure, ratio in limits.items())
    return [guard for guard in found if guard is not None]


def cost_saving(heldout: PoolComparison) -> LimitCheck | None:
    """Return the evidence that output tokens fall; its `p_worse` is small if they do.

    Args:
        heldout: Comparison of the held-out pool.
    """
    cost = heldout.cost.get("output_tokens")
    z = _cost_z_score(heldout, "output_tokens", 1.0)
    if not cost or z is None:
        return None
    statement = f"output tokens of a run {cost['before']:.1f} before, {cost['after']:.1f} now"
    return LimitCheck("saving", statement, normal_tail(-z))


def describe_unequal_missing(evaluation: Evaluation, level: float) -> str | None:
    """Describe held-out attempts without a result that are shown to be unequal between the versions; else None.

    A version whose failures cannot be decided loses its losses: what is left looks better than it is. Attempts that
    a limit skipped are chosen by their place, not by their result, and do not count.

    Args:
        evaluation: What was measured, with its attempts.
        level: Two-sided level of the test: sign flips of families, as for the gain.
    """
    families = {task.task: task.family for task in evaluation.pools["heldout"].tasks}
    attempts: Any = evaluation.extras.get("attempts") or {}
    sums: Counter[str] = Counter()
    missing = {"before": 0, "after": 0}
    for side, sign in (("before", -1), ("after", 1)):
        for one in attempts.get(side) or []:
            if one["pool"] != "heldout" or one["label"] != "unknown" or one["status"] == "skipped":
                continue
            missing[side] += 1
            sums[families.get(one["task_id"], f"task {one['task_id']}")] += sign
    found = list(sums.values())
    p_value = 2 * min(sign_flip_p_value(found), sign_flip_p_value([-n for n in found]))
    if p_value > level:
        return None
    return (
        f"{missing['after']} held-out attempts of the new version and {missing['before']} of the current one have no "
        f"result (p = {p_value:.2g}), so what is left cannot be compared"
    )


def format_points(value: float) -> str:
    """Write a share as signed percentage points."""
    return f"{100 * value:+.1f} points"


def _cost_guard(pool: PoolComparison, measure: str, ratio: float) -> LimitCheck | None:
    cost = pool.cost.get(measure)
    if not cost or cost["before"] <= 0:
        return None
    above = cost["after"] > ratio * cost["before"]
    z = _cost_z_score(pool, measure, ratio)
    shown = 0.0 if above else 1.0  # of a report without results by task, the means decide
    return LimitCheck(
        name=measure,
        statement=f"{measure.replace('_', ' ')} of a run rose from {cost['before']:.1f} to "
        f"{cost['after']:.1f}",
        p_worse=shown if z is None else normal_tail(z),
        broken=f"more than {ratio:g} times",
        doubt=f"may be more than {ratio:g} times" if above else "",
    )


def _cost_z_score(pool: PoolComparison, measure: str, ratio: float) -> float | None:
    """Return the distance of the cost after from `ratio` times the cost before, in standard errors over families."""
    sums: defaultdict[str, float] = defaultdict(float)
    for task in pool.tasks:
        if measure in task.cost:
            before, after = task.cost[measure]
            sums[task.family] += after - ratio * before
    largest = max(map(abs, sums.values()), default=0.0)
    if len(sums) < 2 or not math.isfinite(largest):
        return None
    scaled = [value / (largest or 1.0) for value in sums.values()]  # squares of huge costs overflow
    mean = sum(scaled) / len(scaled)
    variance = sum((value - mean) ** 2 for value in scaled) / (len(scaled) - 1)
    error = math.sqrt(variance / len(scaled))
    if error == 0:
        return 0.0 if mean == 0 else math.copysign(math.inf, mean)
    return mean / error


def _count_p_value(won: int, lost: int, size: float) -> float:
    """Return the one-sided p-value of counts alone, in whole families of a size."""
    gained, dropped = math.floor(won / size), math.ceil(lost / size)
    return sign_flip_p_value([1] * gained + [-1] * dropped)
