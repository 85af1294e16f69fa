"""Measure a verifier, a judge or a reward against labels.

Precision and recall come with 95 % Wilson score intervals; rewards are ranked by AUC.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from burnish.records import Rate, VerdictLabel
from burnish.statistics.proportions import normal_quantile, wilson_rate

T = TypeVar("T")

FLOOR = 0.9


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Measured quality of a verifier.

    Attributes:
        precision: Share of its successes that are true successes.
        recall: Share of the true successes that it recognises.
        unknown: Runs that it could not judge.
        labelled: Runs that had a label.
        trusted: Whether the lower bound of precision reaches the floor.
    """

    precision: Rate
    recall: Rate
    unknown: int
    labelled: int
    trusted: bool


class RewardCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Result of checking whether a reward ranks successes above failures.

    Attributes:
        auc: Share of pairs ranked right, 0 to 1.
        accepted: Whether the share reaches the threshold.
        counterexamples: The worst pairs: index of the success, of the failure, and their rewards.
    """

    auc: float
    accepted: bool
    counterexamples: list[dict[str, Any]]


def wilson(successes: int, total: int) -> Rate:
    """Return a share with its 95 % Wilson interval."""
    return wilson_rate(successes, total)


def count_labels_needed(floor: float) -> int:
    """Return the number of labelled successes with which a verifier without an error reaches the floor.

    With fewer labels the lower bound lies under the floor whatever the labels say, so it tells nothing. Wilson's lower
    bound of n right of n is n / (n + z^2).

    Args:
        floor: Lowest lower bound of precision, 0 to 1; above 0.99 the number is that of 0.99, since no number of labels
            reaches 1.
    """
    z, reachable = normal_quantile(0.95), min(floor, 0.99)
    return max(1, math.ceil(z * z * reachable / (1 - reachable)))


def audit(pairs: Iterable[tuple[VerdictLabel, VerdictLabel]], *, floor: float = FLOOR) -> Quality:
    """Measure a verifier against labels.

    Args:
        pairs: Pairs of the verifier's verdict and the true label; pairs with an unknown truth are
            ignored.
        floor: Lowest lower bound of precision, 0 to 1, at which the verifier's success admits runs
            to training.
    """
    known = [(said, true) for said, true in pairs if true != "unknown"]
    claimed = [true for said, true in known if said == "success"]
    right = sum(true == "success" for true in claimed)
    actual = sum(true == "success" for _, true in known)
    precision = wilson(right, len(claimed))
    return Quality(
        precision=precision,
        recall=wilson(right, actual),
        unknown=sum(said == "unknown" for said, _ in known),
        labelled=len(known),
        trusted=precision.low >= floor,
    )


def audit_sample(runs: Iterable[T], size: int, *, seed: int = 0) -> list[T]:
    """Draw a random sample of runs for labelling, without holding all of them in memory."""
    rng, sample = random.Random(seed), []  # noqa: S311 - a sample, no secret
    for place, run in enumerate(runs):
        if place < size:
            sample.append(run)
        elif (slot := rng.randint(0, place)) < size:
            sample[slot] = run
    return sample


def tpe(
    reward: Callable[[Any], float],
    successes: Sequence[Any],
    failures: Sequence[Any],
    *,
    threshold: float = FLOOR,
) -> RewardCheck:
    """Accept a reward function only if it ranks successes above failures (trajectory preference evaluation).

    Args:
        reward: The function, higher is better; a run on which it raises counts as ranked wrong.
        successes: Runs known to be good.
        failures: Runs known to be bad.
        threshold: Lowest AUC to accept, 0 to 1.
    """
    good = [_ask_reward(reward, run, -math.inf) for run in successes]
    bad = [_ask_reward(reward, run, math.inf) for run in failures]
    if not good or not bad:
        return RewardCheck(auc=0.5, accepted=False, counterexamples=[])
    wins = sum(1.0 if g > b else 0.5 if g == b else 0.0 for g in good for b in bad)
    auc = wins / (len(good) * len(bad))
    wrong = sorted(
        (
            (g - b, place, other)
            for place, g in enumerate(good)
            for other, b in enumerate(bad)
            if g <= b
        )
    )
    worst = [
        {"success": i, "failure": j, "rewards": [_read_finite(good[i]), _read_finite(bad[j])]}
        for _, i, j in wrong[:5]
    ]
    return RewardCheck(auc=auc, accepted=auc >= threshold, counterexamples=worst)


def _ask_reward(reward: Callable[[Any], float], run: Any, if_broken: float) -> float:
    try:
        value = float(reward(run))
    except Exception:  # noqa: BLE001 - a user's function may raise anything
        return if_broken
    return if_broken if math.isnan(value) else value


def _read_finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
