"""Give shares their intervals, and figures without data their reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.records import PoolComparison
from burnish.statistics.proportions import wilson_interval, wilson_rate
from burnish_trainer.evaluation.attempts.ended import AttemptResult

Json = dict[str, Any]


def describe_share(part: int, whole: int, reason: str) -> Json:
    """Return a share with its Wilson interval, or why there is none.

    Args:
        part: Observations that have the property.
        whole: All observations.
        reason: Why there are no observations.
    """
    if not whole:
        return {"missing": reason}
    rate = wilson_rate(part, whole)
    return {"part": part, "whole": whole, "rate": rate.rate, "low": rate.low, "high": rate.high}


def describe_mean(value: float, observations: int) -> Json:
    """Return a mean of values from 0 to 1 with its interval.

    Args:
        value: The mean.
        observations: Number of independent observations, at least 1.
    """
    low, high = wilson_interval(value, observations)
    return {"rate": value, "low": low, "high": high}


def count_successes(results: Sequence[AttemptResult], reason: str) -> Json:
    """Return the share of successes among attempts that a verifier decided, or why there is none."""
    known = [one.label == "success" for one in results if one.label != "unknown"]
    return describe_share(sum(known), len(known), reason)


def read_tags(pools: Mapping[str, PoolComparison]) -> dict[tuple[str, str], set[str]]:
    """Return the tags of each task, by pool and id, in one spelling.

    Args:
        pools: Comparisons by pool.
    """
    return {
        (name, task.task): {spell_tag(tag) for tag in task.tags}
        for name, pool in pools.items()
        for task in pool.tasks
    }


def spell_tag(tag: str) -> str:
    """Return a tag in the spelling of the documentation: `should-abstain` is `should_abstain`."""
    return tag.strip().lower().replace("-", "_").replace(" ", "_")
