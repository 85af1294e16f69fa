"""Decide on an evaluation: promote, reject or inconclusive, with reasons.

A candidate is promoted only if its gain on held-out tasks is shown with the stated confidence, and no pool loses more
than
the limits allow. It is rejected if it is shown to be worse, or breaks a limit. All other results are inconclusive,
including too little data. `decide` is the entry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from burnish.errors import EvaluationError
from burnish.project import GateConfig
from burnish.records import Decision, Evaluation, PoolComparison
from burnish_trainer.evaluation.statistics import mcnemar_p_value, paired_interval

_COSTS = ("output_tokens", "steps", "tool_calls")

Rules = GateConfig
Found = tuple[str, str] | None
"""A verdict that a rule asks for, "reject" or "inconclusive", and why."""


def decide(evaluation: Evaluation, rules: Rules | dict[str, Any] | None = None) -> Decision:
    """Hold an evaluation against the gate's rules.

    Args:
        evaluation: What was measured.
        rules: A GateConfig, or some of its fields; by default its defaults.

    Raises:
        EvaluationError: The rules are wrong, or no held-out tasks were evaluated.
    """
    settled = _make_rules(rules)
    heldout = evaluation.pools.get("heldout")
    if heldout is None:
        raise EvaluationError(
            f"the evaluation has no held-out tasks, only {', '.join(evaluation.pools) or 'none'}",
            "the pool heldout",
            f"burnish eval {evaluation.agent}",
        )
    checks: list[Callable[[], Found]] = [
        lambda: _check_gain(heldout, settled),
        lambda: _check_regressions(evaluation, settled),
        lambda: _check_pool(evaluation.pools.get("standing"), 0.0, settled),
        lambda: _check_pool(
            evaluation.pools.get("capability"), settled.max_capability_drop, settled
        ),
        lambda: _check_cost(heldout, settled),
        lambda: _check_infrastructure(evaluation, settled),
    ]
    found = [answer for check in checks if (answer := check()) is not None]
    verdicts = {verdict for verdict, _ in found}
    decision = "reject" if "reject" in verdicts else "inconclusive" if verdicts else "promote"
    reasons = [reason for _, reason in found] or [_promotion_reason(heldout, evaluation)]
    return Decision(decision=decision, reasons=reasons, rules=msgspec.to_builtins(settled))


def _make_rules(given: Rules | dict[str, Any] | None) -> Rules:
    if isinstance(given, Rules):
        return given
    unknown = set(given or {}) - set(Rules.__struct_fields__)
    problem = f"unknown rules: {', '.join(sorted(unknown))}" if unknown else ""
    try:
        rules = msgspec.convert(given or {}, Rules)
    except msgspec.ValidationError as error:
        rules, problem = Rules(), str(error)
    if problem:
        raise EvaluationError(
            f"the gate's rules are wrong: {problem}",
            f"some of {', '.join(Rules.__struct_fields__)}",
            "look at [agent.NAME.gate] in burnish.toml",
        )
    return rules


def _check_gain(heldout: PoolComparison, rules: Rules) -> Found:
    total = heldout.before.total
    low, high = paired_interval(heldout.won, heldout.lost, total, rules.confidence)
    told = f"held-out gain {_format_points(heldout.gain)} [{_format_points(low)}, {_format_points(high)}] over {total} tasks"
    if high <= rules.min_gain or heldout.gain < 0:
        return "reject", f"{told}: not above {_format_points(rules.min_gain)}"
    shown = (
        low > rules.min_gain and mcnemar_p_value(heldout.won, heldout.lost) <= 1 - rules.confidence
    )
    if not shown:
        return "inconclusive", f"{told}: a gain over {_format_points(rules.min_gain)} is not shown"
    return None


def _check_regressions(evaluation: Evaluation, rules: Rules) -> Found:
    pools = [evaluation.pools[name] for name in ("heldout", "standing") if name in evaluation.pools]
    solved, lost = sum(p.before.successes for p in pools), sum(p.lost for p in pools)
    if solved and lost > rules.max_regression_rate * solved:
        return (
            "reject",
            f"{lost} of {solved} tasks that were solved before now fail, "
            f"more than {rules.max_regression_rate:.0%}",
        )
    return None


def _check_pool(pool: PoolComparison | None, allowed: float, rules: Rules) -> Found:
    """A pool on which nothing may be lost: shown to be below `allowed` rejects, a larger drop leaves doubt."""
    if pool is None:
        return None
    low, high = paired_interval(pool.won, pool.lost, pool.before.total, rules.confidence)
    told = (
        f"{pool.pool} {_format_points(pool.gain)} [{_format_points(low)}, {_format_points(high)}]"
    )
    if high < -allowed:
        return "reject", f"{told}: shown to be below {_format_points(-allowed)}"
    if pool.gain < -rules.max_capability_drop:
        return "inconclusive", f"{told}: may be below {_format_points(-rules.max_capability_drop)}"
    return None


def _check_cost(heldout: PoolComparison, rules: Rules) -> Found:
    for measure in _COSTS:
        cost = heldout.cost.get(measure)
        if cost and cost["before"] > 0 and cost["after"] > rules.max_cost_ratio * cost["before"]:
            return (
                "reject",
                f"{measure.replace('_', ' ')} of a run rose from {cost['before']:.1f} to "
                f"{cost['after']:.1f}, more than {rules.max_cost_ratio:g} times",
            )
    return None


def _check_infrastructure(evaluation: Evaluation, rules: Rules) -> Found:
    """Attempts lost to the backend say nothing about the adapter; too many of them leave doubt."""
    lost, attempts, told = _count_lost(evaluation)
    if attempts and lost > rules.max_infrastructure_errors * attempts:
        return "inconclusive", f"{told}, more than {rules.max_infrastructure_errors:.0%}"
    return None


def _count_lost(evaluation: Evaluation) -> tuple[int, int, str]:
    """Attempts that errors of the backend ended, all attempts, and both as a sentence."""
    sides: Any = evaluation.extras.get("infrastructure") or {}
    errors = [error for side in sides.values() for error in side["errors"].items()]
    lost, attempts = sum(n for _, n in errors), sum(side["attempts"] for side in sides.values())
    told = f"{lost} of {attempts} attempts met an error of the backend"
    if errors:
        told += f" ({max(errors, key=lambda error: error[1])[0][:120]})"
    return lost, attempts, told


def _promotion_reason(heldout: PoolComparison, evaluation: Evaluation) -> str:
    low, high = heldout.ci95
    others = ", ".join(
        f"{name} {_format_points(pool.gain)}"
        for name, pool in evaluation.pools.items()
        if name != "heldout"
    )
    told = (
        f"held-out gain {_format_points(heldout.gain)} [{_format_points(low)}, {_format_points(high)}] over "
        f"{heldout.before.total} tasks, {heldout.won} won, {heldout.lost} lost"
    )
    lost, _, faults = _count_lost(evaluation)
    return "; ".join([told, *filter(None, [others, faults if lost else ""])])


def _format_points(value: float) -> str:
    return f"{100 * value:+.1f} points"


__all__ = ["Rules", "decide"]
