"""Test sequentially that one arm's rate is shifted from the other's: an e-process, valid at any look.

`EProcess` compares outcomes, `RatioEProcess` assignments.

Null hypothesis: for every thread, the canary's rate p1 is at most the control's rate p0 minus
`margin`. For a supposed shift d, with p0 the control's mean so far and q = p0 + d, an outcome y on
arm a multiplies the evidence by

    alternative(a, y) / null(a, y)

where null is the distribution of the null hypothesis that is nearest (in relative entropy) to the
alternative. That makes the expected factor at most 1 under *every* distribution of the null,
whatever the two rates are at that moment: the product stays a valid bet under any number of looks,
growing shares and drifting rates, and exceeds 1/alpha with probability at most alpha (Ville).
The evidence is the weighted mean over a grid of shifts. With margin 0 the nearest null gives both
arms the rate w q + (1 - w) p0 (Turner, Ly and Grünwald, arXiv 2106.02693, per request).

Evidence from before a change hides the change. An e-process with restarts is the weighted sum of
e-processes that begin at the first thread (weight `first`) and at every later one (weight
`restart`). Its mean after n threads is at most first + n * restart, which bounds the chance that it
exceeds 1/alpha within n threads by alpha * (first + n * restart).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import acos, cos, exp, inf, log, log1p, pi, sqrt

WORSE_GRID = ((0.06, 1.0), (0.2, 6.0), (0.3, 2.0), (0.7, 1.0))
"""Shifts towards failure to detect, with their weights."""

NOT_WORSE_GRID = ((0.0, 3.0), (0.05, 1.0), (0.12, 1.0), (0.25, 1.0))
"""Shifts towards success to detect in a candidate that may be equally good."""

FORGET = 1 - 1e-3  # weight of the counts of recent threads at each further one

EDGE = 1e-3  # rates are clipped to this distance from 0 and 1


class EProcess:
    """Evidence against "the canary's rate is at most the control's rate minus margin".

    Args:
        grid: Supposed shifts of the canary's rate with their weights.
        margin: Distance of the null hypothesis, 0 to 1.
        prior: The control's rate before the first thread, and how many threads it counts for.
        first: Weight of the evidence since the first thread.
        restart: Weight of the evidence since each later thread; 0 never restarts.
    """

    __slots__ = (
        "_log", "_margin", "_prior", "_recent", "_restart", "_shifts", "_weights", "hits", "threads",
    )  # fmt: skip

    def __init__(
        self,
        grid: Sequence[tuple[float, float]],
        *,
        margin: float = 0.0,
        prior: tuple[float, float] = (0.5, 1.0),
        first: float = 1.0,
        restart: float = 0.0,
    ) -> None:
        total = sum(weight for _, weight in grid)
        self._shifts = [shift for shift, _ in grid]
        self._weights = [weight / total for _, weight in grid]
        self._margin = margin
        self._prior = prior
        self._log = [log(first)] * len(grid)
        self._restart = log(restart) if restart else -inf
        self.threads = [0, 0]  # control, canary
        self.hits = [0, 0]
        self._recent = [0.0, 0.0, 0.0, 0.0]  # threads, then hits, of the last ones by weight

    def add(self, canary: bool, hit: bool, share: float) -> None:
        """Add one thread's outcome.

        Args:
            canary: True if the thread was on the canary.
            hit: The outcome, 0 or 1.
            share: Probability of the canary for this thread.
        """
        rate, weight = self._prior
        control = (self.hits[0] + rate * weight) / (self.threads[0] + weight)
        control = min(max(control, EDGE), 1.0 - EDGE)
        for place, shift in enumerate(self._shifts):
            shifted = min(max(control + shift, EDGE), 1.0 - EDGE)
            null = find_nearest_null(control, shifted, share, self._margin)
            p, n = (shifted, null - self._margin) if canary else (control, null)
            factor = log(p / n) if hit else log((1.0 - p) / (1.0 - n))
            self._log[place] = _add_logs(self._log[place], self._restart) + factor
        self.threads[canary] += 1
        self.hits[canary] += hit
        self._recent = [FORGET * number for number in self._recent]
        self._recent[canary] += 1.0
        self._recent[2 + canary] += hit

    @property
    def recent_rates(self) -> list[float | None]:
        """Rates of the last thousand or so threads of control and canary; None before the first thread."""
        return [
            hits / threads if threads else None
            for threads, hits in zip(self._recent[:2], self._recent[2:], strict=True)
        ]

    @property
    def log_evidence(self) -> float:
        """Natural logarithm of the evidence; 0 at the start, higher is stronger."""
        top = max(self._log)
        pairs = zip(self._weights, self._log, strict=True)
        return top + log(sum(weight * exp(value - top) for weight, value in pairs))

    def state(self) -> dict[str, list[float]]:
        """Return the state as plain data."""
        return {
            "log": list(self._log),
            "threads": [*self.threads],
            "hits": [*self.hits],
            "recent": list(self._recent),
        }

    def restore(self, state: dict[str, list[float]]) -> None:
        """Continue from a state."""
        self._log = list(state["log"])
        self.threads = [int(number) for number in state["threads"]]
        self.hits = [int(number) for number in state["hits"]]
        self._recent = list(state.get("recent") or map(float, [*self.threads, *self.hits]))


def _add_logs(one: float, other: float) -> float:
    """Return log(exp(one) + exp(other)) without overflow."""
    low, high = (one, other) if one < other else (other, one)
    return high + log1p(exp(low - high))


def find_nearest_null(control: float, shifted: float, share: float, margin: float) -> float:
    """Return the control's rate in the null distribution nearest to (control, shifted).

    It minimises share * KL(shifted | x - margin) + (1 - share) * KL(control | x) over x. Setting
    the derivative to 0 gives a cubic with three real roots, below margin, between margin and 1,
    and above 1; it is the middle one, by the cosine formula (as in Farrington and Manning 1990).
    """
    if margin == 0.0:
        return share * shifted + (1.0 - share) * control
    rest, top, sum_ = 1.0 - share, 1.0 + margin, control + margin
    c2 = share * (top + shifted) + rest * (top + sum_)
    c1 = share * (shifted + margin) + rest * (top * sum_ + control * margin)
    c0 = rest * top * control * margin
    third = c2 / 3.0
    radius = sqrt(max(third * third - c1 / 3.0, 1e-300))
    cosine = (third**3 - third * c1 / 2.0 + c0 / 2.0) / radius**3
    angle = acos(min(max(cosine, -1.0), 1.0))
    return third + 2.0 * radius * cos((angle - 2.0 * pi) / 3.0)


class RatioEProcess:
    """Evidence that threads reach the canary more or less often than planned.

    Each multiplier is an alternative: the odds of the canary are that many times the planned ones.
    The share may differ from thread to thread.
    """

    __slots__ = ("_log",)

    MULTIPLIERS = (0.25, 0.5, 0.7, 0.85, 1.2, 1.5, 2.0, 4.0)

    def __init__(self) -> None:
        self._log = [0.0] * len(self.MULTIPLIERS)

    def add(self, canary: bool, share: float) -> None:
        """Add one assignment, with or without a known outcome."""
        if not 0.0 < share < 1.0:
            return
        for place, times in enumerate(self.MULTIPLIERS):
            self._log[place] += (log(times) if canary else 0.0) - log1p((times - 1.0) * share)

    @property
    def log_evidence(self) -> float:
        """Natural logarithm of the evidence."""
        top = max(self._log)
        return top + log(sum(exp(value - top) for value in self._log) / len(self._log))

    def state(self) -> list[float]:
        """Return the state as plain data."""
        return list(self._log)

    def restore(self, state: list[float]) -> None:
        """Continue from a state."""
        self._log = list(state)
