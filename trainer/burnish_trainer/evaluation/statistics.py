"""Offer the statistics of a comparison under their place in the evaluation; they live in `burnish.statistics`."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.statistics.paired import mcnemar_p_value, paired_interval
from burnish.statistics.proportions import wilson_rate


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean; 0 of no values."""
    return sum(values) / len(values) if values else 0.0


__all__ = ["mcnemar_p_value", "mean", "paired_interval", "wilson_rate"]
