"""Compute the evidence for and against a canary from outcomes and guard metrics of its threads.

`Analysis.add` takes outcomes, `Analysis.evidence` returns the evidence. `policy` decides the move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp

from burnish.canary.assignment import Arm
from burnish.canary.e_process import NOT_WORSE_GRID, WORSE_GRID, EProcess, RatioEProcess
from burnish.records import Json, Record

PRIOR_THREADS = 30.0  # largest weight of stable's earlier threads


class Evidence(Record, frozen=True, kw_only=True):
    """The evidence at one look; each number is an e-value, 1 at the start.

    A value of at least 1/alpha refutes the opposite with error probability alpha, at any look.
    """

    worse: float  # the canary succeeds less often
    not_worse: float  # its success is lower by no more than the margin
    guards: dict[str, float]  # by metric: the canary breaches the guard more often
    ratio: float  # the share of threads on the canary is not the planned one
    threads: dict[str, int]  # judged threads by arm
    successes: dict[str, int]

    def rate(self, arm: Arm) -> float | None:
        """Return the success rate of an arm, or None before its first thread."""
        return self.successes[arm] / self.threads[arm] if self.threads[arm] else None


class Analysis:
    """Compares the canary's threads with those of stable, one thread at a time.

    Args:
        margin: Loss of success, 0 to 1, that is still acceptable.
        guards: Names of metrics that are watched besides success.
        history: Successes and number of threads of stable before the rollout, if known. They make
            early looks more powerful and never invalid.
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
        self._worse = EProcess(WORSE_GRID, prior=(1.0 - rate, weight))
        self._not_worse = EProcess(NOT_WORSE_GRID, margin=margin, prior=(rate, weight))
        self._guards = {name: EProcess(WORSE_GRID, prior=(0.05, 1.0)) for name in guards}
        self._ratio = RatioEProcess()

    def add(
        self,
        arm: Arm,
        success: bool,
        share: float,
        breaches: Mapping[str, bool] | None = None,
    ) -> None:
        """Add the outcome of one thread, in the order of assignment.

        Args:
            arm: Arm of the thread's first call.
            success: Its outcome.
            share: Probability, 0 to 1, of the canary at that call.
            breaches: By guard metric, if known: True if the thread breached it.
        """
        canary = arm == "canary"
        self._worse.add(canary, not success, share)
        self._not_worse.add(canary, bool(success), share)
        for name, breached in (breaches or {}).items():
            if name in self._guards:
                self._guards[name].add(canary, bool(breached), share)

    def assigned(self, arm: Arm, share: float) -> None:
        """Add an assignment for the sample-ratio alarm, as soon as it is seen."""
        self._ratio.add(arm == "canary", share)

    def evidence(self) -> Evidence:
        """Return the evidence so far."""
        stable, canary = self._not_worse.threads
        won_stable, won_canary = self._not_worse.hits
        return Evidence(
            worse=_exponentiate(self._worse.log_evidence),
            not_worse=_exponentiate(self._not_worse.log_evidence),
            guards={name: _exponentiate(test.log_evidence) for name, test in self._guards.items()},
            ratio=_exponentiate(self._ratio.log_evidence),
            threads={"stable": stable, "canary": canary},
            successes={"stable": won_stable, "canary": won_canary},
        )

    def state(self) -> dict[str, Json]:
        """Return the whole state as plain data, so that another process can continue."""
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
        """Restore an analysis from its state."""
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


def _exponentiate(value: float) -> float:
    """Return the exponential, clipped to the range of a float."""
    return exp(min(max(value, -700.0), 700.0))
