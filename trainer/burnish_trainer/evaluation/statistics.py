"""Compute the statistics of a comparison, in closed or exact form.

Tango's score interval (Statistics in Medicine 17, 1998, 891-908) is used for the paired gain because it keeps its
coverage for few discordant pairs and for gains near the ends. A bootstrap over tasks gives intervals there that are
too
short, or of no width at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist

from burnish.records import Rate


def wilson_rate(successes: int, total: int, confidence: float = 0.95) -> Rate:
    """Return a success rate with its Wilson interval; the whole range if there is no attempt."""
    if total == 0:
        return Rate(successes=0, total=0, rate=0.0, low=0.0, high=1.0)
    z = _normal_quantile(confidence)
    rate = successes / total
    centre = (rate + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total**2))
    return Rate(
        successes=successes,
        total=total,
        rate=rate,
        low=max(0.0, centre - half),
        high=min(1.0, centre + half),
    )


def paired_interval(
    won: int, lost: int, total: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return Tango's score interval of the gain (won - lost) / total.

    Args:
        won: Pairs that failed before and succeed now.
        lost: Pairs that succeeded before and fail now.
        total: All pairs.
        confidence: Two-sided confidence, 0 to 1.
    """
    if total == 0:
        return (-1.0, 1.0)
    z, gain = _normal_quantile(confidence), (won - lost) / total
    low = _find_root(lambda d: _tango_score(won, lost, total, d) - z, -1.0, gain)
    high = _find_root(lambda d: _tango_score(won, lost, total, d) + z, gain, 1.0)
    return (low, high)


def mcnemar_p_value(won: int, lost: int) -> float:
    """Return the two-sided p-value of McNemar's exact test for discordant pairs."""
    discordant, fewer = won + lost, min(won, lost)
    if discordant == 0:
        return 1.0
    tail = sum(math.comb(discordant, k) for k in range(fewer + 1)) / 2**discordant
    return min(1.0, 2 * tail)


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean; 0 of no values."""
    return sum(values) / len(values) if values else 0.0


@lru_cache
def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _tango_score(won: int, lost: int, total: int, gain: float) -> float:
    """Return Tango's statistic, which falls as the supposed gain rises."""
    a = 2 * total
    b = -won - lost + (2 * total - won + lost) * gain
    c = -lost * gain * (1 - gain)
    q = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = total * (2 * q + gain * (1 - gain))
    distance = won - lost - total * gain
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def _find_root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Find the root of a falling function between two ends, by bisection."""
    for _ in range(60):
        middle = (low + high) / 2
        if falling(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
