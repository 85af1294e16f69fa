"""Compare two versions on the same tasks, with several attempts at a task and families of similar tasks.

A *cluster* is a family: tasks whose results move together, such as phrasings of one request. Attempts at one task lie
in one cluster too. All methods here treat clusters, not attempts, as independent.

- Test: sign flips. If both versions are equal, swapping them inside a cluster changes nothing, so each cluster's
  difference has either sign with probability 1/2 (Fisher's randomisation test; Winkler et al., NeuroImage 92, 2014, for
  exchangeable blocks). The p-value is exact, computed from the whole distribution. With one pair in each cluster it is
  McNemar's exact test.
- Interval: Tango's score interval (Statistics in Medicine 17, 1998, 891-908), on counts divided by the design effect
  when clusters hold several pairs (Rao and Scott, Biometrics 48, 1992, 577-585; Obuchowski, Statistics in Medicine 17,
  1998, 1495-1507, for clustered pairs). The design effect is then estimated from the clusters, so the quantiles are those
  of Student's t over clusters: four families of 30 tasks are four observations. A bootstrap over tasks gives intervals
  that are too short for few differences.
- Regressions: the losses of the new version minus those of the current version when it runs again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from burnish.statistics.proportions import (
    normal_quantile,
    normal_tail,
    student_quantile,
    student_tail,
)

_MOST_WORK = 1_000_000_000  # bit operations of an exact distribution
_MOST_COARSE = (
    200  # clusters whose large differences are rounded; of more the sum is close to normal
)
_MOST_EQUAL = 10_000  # clusters of equal weight that are counted exactly


class PairedTask(NamedTuple):
    """The paired results of one task.

    Attributes:
        task: Id of the task.
        family: Family of similar tasks; its own id if it has none.
        pairs: Pairs of attempts, before and after.
        won: Pairs that failed before and succeed now.
        lost: Pairs that succeeded before and fail now.
        solved: Pairs that succeeded before.
        repeats: Further attempts of the current version, counted once for each success that they repeat.
        lost_again: Those of them that failed.
    """

    task: str
    family: str
    pairs: int
    won: int
    lost: int
    solved: int = 0
    repeats: int = 0
    lost_again: int = 0


@dataclass(frozen=True, slots=True)
class PairedGain:
    """The gain of the new version over the current one.

    Attributes:
        gain: Difference of the success rates, -1 to 1.
        low: Lower end of its interval.
        high: Upper end of its interval.
        p_better: One-sided p-value: small if the new version is better.
        p_value: Two-sided p-value.
        won: Pairs won.
        lost: Pairs lost.
        pairs: All pairs.
        clusters: Number of families.
        design_effect: Factor by which clusters raise the variance, at least 1.
    """

    gain: float
    low: float
    high: float
    p_better: float
    p_value: float
    won: int
    lost: int
    pairs: int
    clusters: int
    design_effect: float

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the interval of the gain at another two-sided confidence."""
        return paired_interval(
            self.won, self.lost, self.pairs, confidence, self.design_effect, self.freedom
        )

    def p_below(self, gain: float) -> float:
        """Return the one-sided p-value against "the true gain is at least `gain`"."""
        z = paired_z_score(self.won, self.lost, self.pairs, gain, self.design_effect)
        return normal_tail(-z) if self.freedom is None else student_tail(-z, self.freedom)

    @property
    def freedom(self) -> int | None:
        """Degrees of freedom of the design effect; None where every cluster is one pair."""
        return self.clusters - 1 if self.clusters < self.pairs else None


@dataclass(frozen=True, slots=True)
class ExcessLoss:
    """The share of solved tasks that the new version loses, beyond what the current one loses when it runs again.

    Attributes:
        solved: Attempts that succeeded before.
        lost: Those that fail now.
        repeats: Repeated attempts of the current version.
        lost_again: Those that failed.
        excess: Difference of the two shares.
        error: Standard error of the difference.
        freedom: Degrees of freedom of that error.
    """

    solved: int
    lost: int
    repeats: int
    lost_again: int
    excess: float
    error: float
    freedom: int


def measure_gain(tasks: Iterable[PairedTask], confidence: float = 0.95) -> PairedGain:
    """Measure the gain over tasks, with the test and the interval that fit their clusters.

    Args:
        tasks: Results by task.
        confidence: Two-sided confidence of the interval.
    """
    clusters = [_sum_cluster(found) for found in _group_families(tasks)]
    won, lost = sum(c.won for c in clusters), sum(c.lost for c in clusters)
    pairs = sum(c.pairs for c in clusters)
    effect = _measure_design_effect(clusters)
    freedom = len(clusters) - 1 if len(clusters) < pairs else None
    low, high = paired_interval(won, lost, pairs, confidence, effect, freedom)
    sums = [c.won - c.lost for c in clusters]
    p_better, p_worse = sign_flip_p_value(sums), sign_flip_p_value([-s for s in sums])
    return PairedGain(
        gain=(won - lost) / max(pairs, 1),
        low=low,
        high=high,
        p_better=p_better,
        p_value=min(1.0, 2 * min(p_better, p_worse)),
        won=won,
        lost=lost,
        pairs=pairs,
        clusters=len(clusters),
        design_effect=effect,
    )


def paired_interval(
    won: float,
    lost: float,
    total: float,
    confidence: float = 0.95,
    design_effect: float = 1.0,
    freedom: int | None = None,
) -> tuple[float, float]:
    """Return Tango's score interval of the gain (won - lost) / total.

    Args:
        won: Pairs that failed before and succeed now.
        lost: Pairs that succeeded before and fail now.
        total: All pairs.
        confidence: Two-sided confidence, 0 to 1.
        design_effect: Factor by which clusters raise the variance.
        freedom: Degrees of freedom of an estimated design effect; None for a known one.
    """
    if total == 0:
        return (-1.0, 1.0)
    z = normal_quantile(confidence) if freedom is None else student_quantile(confidence, freedom)
    gain = (won - lost) / total

    def score(supposed: float) -> float:
        return paired_z_score(won, lost, total, supposed, design_effect)

    low = _find_root(lambda d: score(d) - z, -1.0, gain)
    high = _find_root(lambda d: score(d) + z, gain, 1.0)
    return (low, high)


def mcnemar_p_value(won: int, lost: int) -> float:
    """Return the two-sided p-value of McNemar's exact test for discordant pairs."""
    discordant, fewer = won + lost, min(won, lost)
    if discordant == 0:
        return 1.0
    tail = sum(math.comb(discordant, k) for k in range(fewer + 1)) / 2**discordant
    return min(1.0, 2 * tail)


def sign_flip_p_value(sums: Sequence[int]) -> float:
    """Return the exact one-sided p-value of the sign-flip test: small if the sums are mostly positive.

    The coefficients of the product of (1 + x^|s|) count the sign patterns by their sum. They are held side by side in
    one large integer, so that each factor costs a shift and an addition.

    Args:
        sums: Difference of each cluster, in whole attempts.
    """
    weights = [abs(s) for s in sums if s]
    if not weights:
        return 1.0
    unit = math.gcd(*weights)
    weights = sorted(w // unit for w in weights)
    positive = sum(s for s in sums if s > 0) // unit
    width = (len(weights) + 8) // 8  # bytes that hold a count up to 2 ** len(weights)
    if weights[-1] == 1 and len(weights) <= _MOST_EQUAL:
        return _count_heads(len(weights), positive) / 2 ** len(weights)
    most = _MOST_WORK // (8 * width * len(weights))
    if sum(weights) > most and len(weights) <= _MOST_COARSE:
        return sign_flip_p_value([int(s / unit * most / sum(weights)) for s in sums])
    if sum(weights) > most:
        distance = 2 * positive - sum(weights) - 1  # continuity
        return normal_tail(distance / math.sqrt(sum(w * w for w in weights)))
    counts = 1
    for weight in weights:
        counts += counts << (8 * width * weight)
    tail = counts >> (8 * width * positive)
    content = tail.to_bytes(width * (sum(weights) - positive + 1), "little")
    patterns = sum(
        int.from_bytes(content[at : at + width], "little") for at in range(0, len(content), width)
    )
    return patterns / 2 ** len(weights)


def measure_excess_loss(tasks: Iterable[PairedTask]) -> ExcessLoss:
    """Measure the losses of the new version beyond those of the current version when it runs again.

    A task that was never repeated gets the current version's share of losses over all repeated tasks. The standard
    error is that of a ratio over clusters (linearised), and at least that of a share with one more loss and one more
    success: two clusters of two that are lost show no share of exactly 1.

    Args:
        tasks: Results by task.
    """
    known = list(tasks)
    repeats, lost_again = sum(t.repeats for t in known), sum(t.lost_again for t in known)
    usual = lost_again / repeats if repeats else 0.0
    solved = sum(t.solved for t in known)
    clusters = [
        (
            sum(t.lost - t.solved * _loss_share(t, usual) for t in family),
            sum(t.solved for t in family),
        )
        for family in _group_families(known)
    ]
    clusters = [(loss, size) for loss, size in clusters if size]
    excess = sum(loss for loss, _ in clusters) / max(solved, 1)
    squares = sum((loss - excess * size) ** 2 for loss, size in clusters)
    factor = len(clusters) / (len(clusters) - 1) if len(clusters) > 1 else 1.0
    lost = sum(t.lost for t in known)
    share = (lost + 1) / (solved + 2)
    least = math.sqrt(share * (1 - share) / max(len(clusters), 1))
    error = max(math.sqrt(factor * squares) / max(solved, 1), least)
    return ExcessLoss(
        solved=solved,
        lost=lost,
        repeats=repeats,
        lost_again=lost_again,
        excess=excess,
        error=error if len(clusters) > 1 else 1.0,
        freedom=max(0, len(clusters) - 1),
    )


def paired_z_score(
    won: float, lost: float, total: float, gain: float, design_effect: float = 1.0
) -> float:
    """Return Tango's statistic for a supposed gain; it falls as the supposed gain rises."""
    won, lost, total = won / design_effect, lost / design_effect, total / design_effect
    if total == 0:
        return 0.0
    a = 2 * total
    b = -won - lost + (2 * total - won + lost) * gain
    c = -lost * gain * (1 - gain)
    q = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = total * (2 * q + gain * (1 - gain))
    distance = won - lost - total * gain
    if variance <= 0:
        return 0.0 if distance == 0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


class _Cluster(NamedTuple):
    pairs: int
    won: int
    lost: int


def _group_families(tasks: Iterable[PairedTask]) -> list[list[PairedTask]]:
    ordered = sorted(tasks, key=attrgetter("family"))
    return [list(found) for _, found in groupby(ordered, key=attrgetter("family"))]


def _sum_cluster(tasks: Sequence[PairedTask]) -> _Cluster:
    return _Cluster(
        sum(t.pairs for t in tasks), sum(t.won for t in tasks), sum(t.lost for t in tasks)
    )


def _measure_design_effect(clusters: Sequence[_Cluster]) -> float:
    """Return the variance of the gain over clusters as a multiple of that over independent pairs, at least 1."""
    pairs = sum(c.pairs for c in clusters)
    if all(c.pairs <= 1 for c in clusters):
        return 1.0
    largest = sum(c.pairs**2 for c in clusters) / pairs
    gain = sum(c.won - c.lost for c in clusters) / pairs
    independent = sum(c.won + c.lost for c in clusters) - pairs * gain**2
    if independent <= 1e-9 or len(clusters) < 2:
        return max(1.0, largest)
    spread = sum((c.won - c.lost - gain * c.pairs) ** 2 for c in clusters)
    return max(1.0, spread / independent * len(clusters) / (len(clusters) - 1))


def _count_heads(coins: int, least: int) -> int:
    """Return the number of ways in which at least `least` of the coins show heads."""
    ways = found = 1  # all of them
    for tails in range(1, coins - least + 1):
        ways = ways * (coins - tails + 1) // tails
        found += ways
    return found


def _loss_share(task: PairedTask, usual: float) -> float:
    return task.lost_again / task.repeats if task.repeats else usual


def _find_root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Find the root of a falling function between two ends, by bisection."""
    for _ in range(60):
        middle = (low + high) / 2
        if falling(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
