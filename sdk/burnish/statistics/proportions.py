"""Compute the interval of one share of successes.

Wilson's score interval (Journal of the American Statistical Association 22, 1927, 209-212) keeps its coverage for few
attempts and for shares near 0 and 1, where the usual normal interval is too short or has no width.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

from burnish.records import Rate

_NORMAL = NormalDist()


def wilson_rate(successes: int, total: int, confidence: float = 0.95) -> Rate:
    """Return a success rate with its Wilson interval; the whole range if there is no attempt."""
    if total == 0:
        return Rate(successes=0, total=0, rate=0.0, low=0.0, high=1.0)
    z = normal_quantile(confidence)
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


@lru_cache(maxsize=256)
def normal_quantile(confidence: float) -> float:
    """Return the z of a two-sided confidence: 1.96 for 0.95."""
    return _NORMAL.inv_cdf(0.5 + confidence / 2)


def normal_tail(z: float) -> float:
    """Return the probability that a standard normal value is at least z."""
    return 0.5 * math.erfc(z / math.sqrt(2))
