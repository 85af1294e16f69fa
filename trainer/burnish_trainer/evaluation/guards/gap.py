"""Compare success on tasks of training with success on held-out tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from burnish.statistics.proportions import wilson_rate
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.guards.findings import Finding

_LARGE = 0.1


def measure_gap(
    train: Sequence[AttemptResult], heldout: Sequence[AttemptResult]
) -> dict[str, float] | None:
    """Return success on both sets, their difference and its 95 % interval (Newcombe 1998, method 10); None without data.

    Args:
        train: Attempts of a version at tasks of its training.
        heldout: Attempts of the same version at held-out tasks.
    """
    labels = [
        [one.label == "success" for one in arm if one.label != "unknown"]
        for arm in (train, heldout)
    ]
    if not all(labels):
        return None
    one, two = (wilson_rate(sum(arm), len(arm)) for arm in labels)
    gap = one.rate - two.rate
    return {
        "train": one.rate,
        "heldout": two.rate,
        "gap": gap,
        "low": gap - math.hypot(one.rate - one.low, two.high - two.rate),
        "high": gap + math.hypot(one.high - one.rate, two.rate - two.low),
    }


def find_overfitting(gap: dict[str, float] | None) -> list[Finding]:
    """Name a gap that is shown to be large.

    Args:
        gap: As `measure_gap` returns it.
    """
    if gap is None or gap["low"] <= _LARGE:
        return []
    return [
        Finding(
            name="overfit.gap",
            severity="note",
            statement=f"success is {gap['train']:.0%} on tasks of training and {gap['heldout']:.0%} on held-out ones: "
            "the version has memorised its training set",
        )
    ]
