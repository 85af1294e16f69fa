"""Measure what the runs of a version cost: calls, tokens, seconds and, where prices are known, money."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.records import PoolComparison
from burnish.statistics.means import measure_mean_gain
from burnish_trainer.evaluation.attempts.ended import AttemptResult

_COMPARED = ("steps", "tool_calls", "input_tokens", "output_tokens", "latency_s")


@dataclass(frozen=True)
class Prices:
    """Prices of the model in US dollars per million tokens; 0 where they are unknown."""

    input_usd: float = 0.0
    output_usd: float = 0.0

    @property
    def known(self) -> bool:
        """Return whether any price was given."""
        return bool(self.input_usd or self.output_usd)

    def cost_of(self, tokens: Mapping[str, float]) -> float:
        """Return the cost of a run in US dollars.

        Args:
            tokens: Its `input_tokens` and `output_tokens`.
        """
        given = tokens.get("input_tokens", 0.0) * self.input_usd
        return (given + tokens.get("output_tokens", 0.0) * self.output_usd) / 1e6


def measure_costs(results: Sequence[AttemptResult], prices: Prices) -> dict[str, float]:
    """Return means of steps, calls and tokens, quantiles of the latency, and cost per run and per success.

    What a success costs is the cost of all runs, failed ones too, over the number of successes.

    Args:
        results: Attempts of one version.
        prices: Prices of tokens.
    """
    costs = [result.cost for result in results if result.cost]
    if not costs:
        return {}
    found = {
        key: statistics.fmean(cost.get(key, 0.0) for cost in costs)
        for key in ("steps", "tool_calls", "input_tokens", "output_tokens")
    }
    tokens = sum(cost.get("input_tokens", 0) + cost.get("output_tokens", 0) for cost in costs)
    seconds = sorted(cost.get("latency_s", 0.0) for cost in costs)
    successes = sum(result.label == "success" for result in results)
    found |= {
        "latency_mean_s": statistics.fmean(seconds),
        "latency_p50_s": _quantile(seconds, 0.5),
        "latency_p95_s": _quantile(seconds, 0.95),
    }
    if successes:
        found["tokens_per_success"] = tokens / successes
    if prices.known:
        total = sum(map(prices.cost_of, costs))
        found["usd_per_run"] = total / len(costs)
        if successes:
            found["usd_per_success"] = total / successes
    return found


def compare_costs(pool: PoolComparison | None) -> dict[str, dict[str, object]]:
    """Return how much more a run costs after than before, by measure, with its interval over families of tasks.

    Args:
        pool: Comparison of the pool whose tasks both versions attempted; None without one.
    """
    found: dict[str, dict[str, object]] = {}
    for measure in _COMPARED:
        pairs = (
            [(t.family, *t.cost[measure]) for t in pool.tasks if measure in t.cost] if pool else []
        )
        if not pairs:
            continue
        largest = max(max(abs(before), abs(after)) for _, before, after in pairs)
        change = measure_mean_gain(
            [(family, after - before) for family, before, after in pairs], span=largest
        )
        found[measure] = {
            "change": change.gain, "ci95": (change.low, change.high), "p_value": change.p_value,
            "tasks": len(pairs), "families": change.clusters,
        }  # fmt: skip
    return found


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values, by linear interpolation."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
