"""What the outcomes of the threads say about the canary so far.

Knows: success and guard metrics of each thread, and the evidence that they add up to.
Does not know: threads' names, where outcomes come from, what is done about the evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp

from burnish.canary.assignment import Arm
from burnish.canary.shift import NOT_WORSE_GRID, WORSE_GRID, RatioTest, ShiftTest
from burnish.records import Json, Record

PRIOR_THREADS = 30.0  # most that earlier threads of stable count for


class Evidence(Record, frozen=True, kw_only=True):
    """The evidence at one look; each number is a bet's pay-out, 1 at the start.

    A value of at least 1/alpha refutes the opposite with error probability alpha, at any look.
    """

    worse: float  # the canary succeeds less often
    not_worse: float  # it succeeds less often by no more than the margin
    guards: dict[str, float]  # by metric: the canary breaches it more often
    ratio: float  # threads do not reach the canary as often as planned
    threads: dict[str, int]  # by arm, judged
    successes: dict[str, int]

    def rate(self, arm: Arm) -> float | None:
        """Share of successes of an arm, None before its first thread."""
        return self.successes[arm] / self.threads[arm] if self.threads[arm] else None


class Analysis:
    """Compares the canary's threads with those of stable, one thread at a time.

    Args:
        margin: Loss of success, 0 to 1, that is still no reason against the canary.
        guards: Names of metrics that are watched besides success.
        history: Successes and number of threads of stable before the rollout, if known; they
            only sharpen the first look and cannot make it wrong.
    """

    def __init__(
        self,
        *,
        margin: float = 0.05,
        guards: Sequence[str] = (),
        history: tuple[int, int] = (0, 0),
    ) -> None:
        successes, threads = history
        weight = min(float(threads), PRIOR_THREADS) + 1.0
        rate = (successes + 0.5) / (threads + 1.0)
        self.margin = margin
        self.history = history
        self._worse = ShiftTest(WORSE_GRID, prior=(1.0 - rate, weight))
        self._not_worse = ShiftTest(NOT_WORSE_GRID, margin=margin, prior=(rate, weight))
        self._guards = {name: ShiftTest(WORSE_GRID, prior=(0.05, 1.0)) for name in guards}
        self._ratio = RatioTest()

    def add(
        self,
        arm: Arm,
        success: bool,
        share: float,
        breaches: Mapping[str, bool] | None = None,
    ) -> None:
        """Take the outcome of one thread, in the order in which threads were assigned.

        Args:
            arm: Where the thread was put at its first call.
            success: Its outcome.
            share: Probability, 0 to 1, with which it was put on the canary.
            breaches: For each guard metric that is known, whether the thread breached it.
        """
        canary = arm == "canary"
        self._worse.add(canary, not success, share)
        self._not_worse.add(canary, bool(success), share)
        for name, breached in (breaches or {}).items():
            if name in self._guards:
                self._guards[name].add(canary, bool(breached), share)

    def assigned(self, arm: Arm, share: float) -> None:
        """Take an assignment, as soon as it is seen, for the sample-ratio alarm."""
        self._ratio.add(arm == "canary", share)

    def evidence(self) -> Evidence:
        """What has been shown so far."""
        stable, canary = self._not_worse.threads
        won_stable, won_canary = self._not_worse.hits
        return Evidence(
            worse=_exp(self._worse.log_evidence),
            not_worse=_exp(self._not_worse.log_evidence),
            guards={name: _exp(test.log_evidence) for name, test in self._guards.items()},
            ratio=_exp(self._ratio.log_evidence),
            threads={"stable": stable, "canary": canary},
            successes={"stable": won_stable, "canary": won_canary},
        )

    def state(self) -> dict[str, Json]:
        """Everything, as plain data, so that another process can go on."""
        return {
            "margin": self.margin,
            "history": list(self.history),
            "worse": self._worse.state(),
            "not_worse": self._not_worse.state(),
            "guards": {name: test.state() for name, test in self._guards.items()},
            "ratio": self._ratio.state(),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Json]) -> Analysis:
        """The analysis as it was when its state was taken."""
        successes, threads = state["history"]
        analysis = cls(
            margin=state["margin"], guards=tuple(state["guards"]), history=(successes, threads)
        )
        analysis._worse.restore(state["worse"])
        analysis._not_worse.restore(state["not_worse"])
        for name, test in analysis._guards.items():
            test.restore(state["guards"][name])
        analysis._ratio.restore(state["ratio"])
        return analysis


def _exp(value: float) -> float:
    """Evidence from its logarithm, within what a float can hold."""
    return exp(min(max(value, -700.0), 700.0))
