"""Compare two versions by scores, or by tasks with different numbers of attempts.

The difference of a task is that of its means. Families are clusters: the interval is that of Student's t over families
with the cluster-robust error, the p-value that of the sign-flip test on the sums of the families.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from burnish.statistics.paired import sign_flip_p_value
from burnish.statistics.proportions import student_quantile

_UNITS = 1000  # of the largest difference, to which all are rounded for the test


@dataclass(frozen=True, slots=True)
class MeanGain:
    """The mean difference of the new version's scores from the current ones.

    Attributes:
        gain: Mean difference over tasks.
        low: Lower end of its interval.
        high: Upper end of its interval.
        p_better: One-sided p-value: small if the new version is better.
        p_value: Two-sided p-value.
        clusters: Number of families.
        error: Standard error of the gain.
    """

    gain: float
    low: float
    high: float
    p_better: float
    p_value: float
    clusters: int
    error: float


def measure_mean_gain(
    differences: Iterable[tuple[str, float]], confidence: float = 0.95, *, span: float = 1.0
) -> MeanGain:
    """Measure the mean of differences by task.

    Args:
        differences: Family and difference of each task.
        confidence: Two-sided confidence of the interval.
        span: Range of the scores; the interval never exceeds it.
    """
    sums: defaultdict[str, float] = defaultdict(float)
    sizes: defaultdict[str, int] = defaultdict(int)
    for family, difference in differences:
        sums[family] += difference
        sizes[family] += 1
    tasks, clusters = sum(sizes.values()), len(sums)
    gain = sum(sums.values()) / max(tasks, 1)
    largest = max(map(abs, sums.values()), default=0.0) or 1.0
    units = [round(_UNITS * (value / largest)) for value in sums.values()]
    p_better, p_worse = sign_flip_p_value(units), sign_flip_p_value([-u for u in units])
    if clusters < 2:
        low, high, error = -span, span, math.inf
    else:
        squares = sum((sums[f] - gain * sizes[f]) ** 2 for f in sums)
        error = math.sqrt(clusters / (clusters - 1) * squares) / tasks
        half = student_quantile(confidence, clusters - 1) * error
        low, high = max(-span, gain - half), min(span, gain + half)
    return MeanGain(
        gain, low, high, p_better, min(1.0, 2 * min(p_better, p_worse)), clusters, error
    )
