"""Correct for several questions asked of one evaluation, and for several decisions on one set of tasks.

`holm_adjust` serves several metrics of one evaluation. `spend_level` serves repeated decisions: decision i on the same
tasks gets the level alpha / (i (i + 1)). These levels add up to alpha, so by the union bound the probability that any
version without a gain is ever promoted on one set stays below alpha, however the decisions depend on each other and
however many follow (alpha spending without a planned number of looks; compare Lan and DeMets, Biometrika 70, 1983,
659-663, and the discrete form of Foster and Stine, JRSS B 70, 2008, 429-444). The first decision gets alpha / 2: the
one-sided level of the usual two-sided test.
"""

from __future__ import annotations

from collections.abc import Mapping


def holm_adjust(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's adjusted p-values (Scandinavian Journal of Statistics 6, 1979, 65-70).

    Args:
        p_values: p-value by name of the metric.
    """
    ordered = sorted(p_values.items(), key=lambda item: item[1])
    adjusted: dict[str, float] = {}
    largest = 0.0
    for place, (name, value) in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - place) * value))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def spend_level(alpha: float, decision: int) -> float:
    """Return the one-sided level of a decision on a set of tasks.

    Args:
        alpha: Level of all decisions on the set together.
        decision: Number of the decision, from 1.
    """
    return alpha / (decision * (decision + 1))


def level_left(alpha: float, decisions: int) -> float:
    """Return the level that is left after a number of decisions on a set of tasks."""
    return alpha / (decisions + 1)
