"""Compute the interval of one share of successes, and the tails of the normal and of Student's distribution.

Wilson's score interval (Journal of the American Statistical Association 22, 1927, 209-212) keeps its coverage for few
attempts and for shares near 0 and 1, where the usual normal interval is too short or has no width.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

from burnish.records import Rate

_NORMAL = NormalDist()
_BELOW_ONE = math.nextafter(1.0, 0.0)
_MANY = 10_000  # degrees of freedom from which Student's distribution is normal to 4 digits


def wilson_rate(successes: int, total: int, confidence: float = 0.95) -> Rate:
    """Return a success rate with its Wilson interval; the whole range if there is no attempt."""
    if total == 0:
        return Rate(successes=0, total=0, rate=0.0, low=0.0, high=1.0)
    rate = successes / total
    low, high = wilson_interval(rate, total, confidence)
    return Rate(successes=successes, total=total, rate=rate, low=low, high=high)


def wilson_interval(rate: float, total: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson interval of a share of independent observations.

    A mean of values from 0 to 1 varies no more than a share of successes does, so the interval holds for it too.

    Args:
        rate: The share, 0 to 1.
        total: Number of observations, above 0.
        confidence: Two-sided confidence.
    """
    z = normal_quantile(confidence)
    centre = (rate + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)


@lru_cache(maxsize=256)
def normal_quantile(confidence: float) -> float:
    """Return the z of a two-sided confidence: 1.96 for 0.95."""
    return _NORMAL.inv_cdf(min(0.5 + confidence / 2, _BELOW_ONE))


def normal_tail(z: float) -> float:
    """Return the probability that a standard normal value is at least z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


@lru_cache(maxsize=256)
def student_quantile(confidence: float, freedom: int) -> float:
    """Return the t of a two-sided confidence; infinite without a degree of freedom.

    Args:
        confidence: Two-sided confidence, 0 to 1.
        freedom: Degrees of freedom.
    """
    if freedom < 1:
        return math.inf
    tail, low, high = (1 - confidence) / 2, 0.0, 1.0
    while student_tail(high, freedom) > tail:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_tail(middle, freedom) > tail else (low, middle)
    return (low + high) / 2


def student_tail(t: float, freedom: int) -> float:
    """Return the probability that a value of Student's distribution is at least t; 1/2 without a degree of freedom.

    The finite series in the angle atan(t / sqrt(freedom)) is exact (Abramowitz and Stegun, 26.7.3 and 26.7.4).

    Args:
        t: The value.
        freedom: Degrees of freedom.
    """
    if freedom < 1:
        return 0.5
    if freedom > _MANY:
        return normal_tail(t)
    angle = math.atan(t / math.sqrt(freedom))
    square, odd = math.cos(angle) ** 2, freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = term if freedom > 1 else 0.0
    for n in range(3 if odd else 2, freedom - 1, 2):
        term *= square * (n - 1) / n
        total += term
    inside = math.sin(angle) * total
    if odd:
        inside = 2 / math.pi * (angle + inside)
    return max(0.0, (1 - inside) / 2)
