"""Compute the evidence for and against a canary from outcomes and guard metrics of its threads.

`Analysis.add` takes outcomes, `Analysis.add_missing` threads without an outcome,
`Analysis.evidence` returns the evidence. `policy` decides the move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp

import msgspec

from burnish.canary.assignment import Arm
from burnish.canary.e_process import NOT_WORSE_GRID, WORSE_GRID, EProcess, RatioEProcess
from burnish.records import Json, Record

PRIOR_THREADS = 30.0  # largest weight of stable's earlier threads
FIRST_WEIGHT = 0.25  # weight of the evidence since the first thread, while a version serves
CANARY_FIRST_WEIGHT = 0.98  # the same while the version is a canary
HORIZON = 8000  # threads over which the weight of all restarts adds up to the rest


Counts = list[int]
"""Successes and threads on the canary, successes and threads on stable."""


class UserClusters:
    """The threads and successes of each user by arm, and how much they resemble each other.

    The design effect is the variance of the difference between the arms with users as the independent
    units (the sandwich estimate), divided by the variance with threads as units. It is 1 where each user
    has one thread, and where both versions treat all users alike, however different the users are.

    Args:
        users: Counts of the users so far.
        sums: Sums of an earlier object that had these counts.
    """

    # How it works: the sandwich sum over users of (w . u)^2 is w' M w, where u counts the successes and
    # threads of a user by arm and M is the sum of u u'. M changes by one user for each thread.

    def __init__(
        self, users: Mapping[str, Sequence[int]] = {}, sums: Sequence[Sequence[int]] | None = None
    ) -> None:
        self._users: dict[str, Counts] = {user: list(counts) for user, counts in users.items()}
        self._sums = [list(row) for row in sums] if sums else [[0] * 4 for _ in range(4)]

    def add(self, user: str | None, canary: bool, success: bool) -> None:
        """Add one thread; without a user it is independent of all others."""
        before = self._users.get(user, [0] * 4) if user is not None else [0] * 4
        after = list(before)
        place = 0 if canary else 2
        after[place] += success
        after[place + 1] += 1
        if user is not None:
            self._users[user] = after
        for row in range(4):
            for column in range(4):
                self._sums[row][column] += after[row] * after[column] - before[row] * before[column]

    def design_effect(self, threads: Sequence[int], hits: Sequence[int]) -> float:
        """Return the design effect, at least 1.

        Args:
            threads: Threads of stable and of the canary.
            hits: Successes of stable and of the canary.
        """
        if not all(threads):
            return 1.0
        stable, canary = (won / of for won, of in zip(hits, threads, strict=True))
        alone = canary * (1 - canary) / threads[1] + stable * (1 - stable) / threads[0]
        if alone <= 0.0:
            return 1.0
        weights = (1 / threads[1], -canary / threads[1], -1 / threads[0], stable / threads[0])
        pairs = [(row, column) for row in range(4) for column in range(4)]
        clustered = sum(weights[r] * weights[c] * self._sums[r][c] for r, c in pairs)
        return max(1.0, round(clustered / alone, 9))  # rounded: sums of floats are not exact

    def sums(self) -> list[list[int]]:
        """Return the sums as plain data; the counts of users are the caller's to keep."""
        return [list(row) for row in self._sums]


class Evidence(Record, frozen=True, kw_only=True):
    """The evidence at one look; each number is an e-value, 1 at the start.

    A value of at least 1/alpha refutes the opposite with error probability alpha, at any look.
    """

    worse: float  # the canary succeeds less often
    not_worse: float  # its success is lower by no more than the margin
    guards: dict[str, float]  # by metric: the canary breaches the guard more often
    ratio: float  # the share of threads on the canary is not the planned one
    threads: dict[str, int]  # threads with an outcome by arm
    successes: dict[str, int]
    missing: float = 1.0  # outcomes are missing more often in one arm than in the other
    missed: dict[str, int] = msgspec.field(
        default_factory=dict
    )  # threads without an outcome in time, by arm
    breaches: dict[str, dict[str, float]] = msgspec.field(
        default_factory=dict
    )  # by metric and arm: share of threads that breach it
    recent: dict[str, dict[str, float]] = msgspec.field(
        default_factory=dict
    )  # by metric (success: "failures") and arm: share of the last threads that fail or breach it
    design_effect: float = 1.0  # by how much threads of one user resemble each other

    def rate(self, arm: Arm) -> float | None:
        """Return the success rate of an arm, or None before its first thread."""
        return self.successes[arm] / self.threads[arm] if self.threads[arm] else None

    def missing_rate(self, arm: Arm) -> float | None:
        """Return the share of an arm's mature threads without an outcome, or None before the first."""
        missed = self.missed.get(arm, 0)
        mature = missed + self.threads[arm]
        return missed / mature if mature else None


class Analysis:
    """Compares the canary's threads with those of stable, one thread at a time.

    Args:
        margin: Loss of success, 0 to 1, that is still acceptable.
        guards: Names of metrics that are watched besides success.
        history: Successes and number of threads of stable before the rollout, if known. They make
            early looks more powerful and never invalid.
        first: Weight of the evidence since the first thread. The rest, up to 1, is spread over
            evidence that begins at one of the next 8,000 threads, so that a later drop is found as
            soon as an early one. 1 never restarts.
    """

    def __init__(
        self,
        *,
        margin: float = 0.05,
        guards: Sequence[str] = (),
        history: tuple[int, int] = (0, 0),
        first: float = FIRST_WEIGHT,
    ) -> None:
        successes, threads = history
        weight = min(float(threads), PRIOR_THREADS) + 1.0
        rate = (successes + 0.5) / (threads + 1.0)
        self.margin = margin
        self.history = history
        self.first = first
        self._spread = {"first": first, "restart": (1.0 - first) / HORIZON}
        self._rate, self._weight = rate, weight
        self._guards = {
            name: EProcess(WORSE_GRID, prior=(0.05, 1.0), **self._spread) for name in guards
        }
        self._ratio = RatioEProcess()
        self.clear_outcomes()

    def clear_outcomes(self) -> None:
        """Remove all outcomes and missing threads; guards and assignments stay."""
        rate, weight = self._rate, self._weight
        self._worse = EProcess(WORSE_GRID, prior=(1.0 - rate, weight), **self._spread)
        self._not_worse = EProcess(NOT_WORSE_GRID, margin=self.margin, prior=(rate, weight))
        self._missing_more = EProcess(WORSE_GRID, prior=(0.05, 1.0))
        self._missing_less = EProcess(WORSE_GRID, prior=(0.95, 1.0))
        self._clusters = UserClusters()

    def add(
        self,
        arm: Arm,
        success: bool,
        share: float,
        breaches: Mapping[str, bool] | None = None,
        *,
        user: str | None = None,
    ) -> None:
        """Add the outcome of one thread, in the order of assignment.

        Args:
            arm: Arm of the thread's first call.
            success: Its outcome.
            share: Probability, 0 to 1, of the canary at that call.
            breaches: By guard metric, if known: True if the thread breached it.
            user: User of the thread, if known; threads of one user are not independent.
        """
        canary = arm == "canary"
        self._worse.add(canary, not success, share)
        self._not_worse.add(canary, bool(success), share)
        self._clusters.add(user, canary, bool(success))
        self._count_missing(canary, False, share)
        self.add_breaches(arm, share, breaches or {})

    def add_missing(
        self, arm: Arm, share: float, breaches: Mapping[str, bool] | None = None
    ) -> None:
        """Add a thread whose outcome did not come in time, in the order of assignment."""
        self._count_missing(arm == "canary", True, share)
        self.add_breaches(arm, share, breaches or {})

    def add_breaches(self, arm: Arm, share: float, breaches: Mapping[str, bool]) -> None:
        """Add the guard metrics of a thread, which need no outcome."""
        for name, breached in breaches.items():
            if name in self._guards:
                self._guards[name].add(arm == "canary", bool(breached), share)

    def assigned(self, arm: Arm, share: float) -> None:
        """Add an assignment for the sample-ratio alarm, as soon as it is seen."""
        self._ratio.add(arm == "canary", share)

    def _count_missing(self, canary: bool, missing: bool, share: float) -> None:
        self._missing_more.add(canary, missing, share)
        self._missing_less.add(canary, not missing, share)

    def evidence(self) -> Evidence:
        """Return the evidence so far."""
        stable, canary = self._not_worse.threads
        won_stable, won_canary = self._not_worse.hits
        missed_stable, missed_canary = self._missing_more.hits
        effect = self._clusters.design_effect(self._not_worse.threads, self._not_worse.hits)
        more, less = self._missing_more.log_evidence, self._missing_less.log_evidence
        return Evidence(
            worse=_exponentiate(self._worse.log_evidence / effect),
            not_worse=_exponentiate(self._not_worse.log_evidence / effect),
            guards={name: _exponentiate(test.log_evidence) for name, test in self._guards.items()},
            ratio=_exponentiate(self._ratio.log_evidence),
            threads={"stable": stable, "canary": canary},
            successes={"stable": won_stable, "canary": won_canary},
            missing=(_exponentiate(more) + _exponentiate(less)) / 2,
            missed={"stable": missed_stable, "canary": missed_canary},
            breaches={name: _breach_rates(test) for name, test in self._guards.items()},
            recent={
                name: _recent_rates(test)
                for name, test in {**self._guards, "failures": self._worse}.items()
            },
            design_effect=effect,
        )

    def state(self) -> dict[str, Json]:
        """Return the whole state as plain data, so that another process can continue."""
        return {
            "margin": self.margin,
            "history": list(self.history),
            "first": self.first,
            "worse": self._worse.state(),
            "not_worse": self._not_worse.state(),
            "guards": {name: test.state() for name, test in self._guards.items()},
            "missing_more": self._missing_more.state(),
            "missing_less": self._missing_less.state(),
            "ratio": self._ratio.state(),
            "clusters": self._clusters.sums(),
        }

    @classmethod
    def restore(
        cls, state: Mapping[str, Json], users: Mapping[str, Sequence[int]] = {}
    ) -> Analysis:
        """Restore an analysis from its state.

        Args:
            state: The state; one of an earlier version knows neither restarts nor missing outcomes.
            users: Counts of the users whose threads were added (see `UserClusters`).
        """
        successes, threads = state["history"]
        analysis = cls(
            margin=state["margin"],
            guards=tuple(state["guards"]),
            history=(successes, threads),
            first=state.get("first", 1.0),
        )
        analysis._worse.restore(state["worse"])
        analysis._not_worse.restore(state["not_worse"])
        for name, test in analysis._guards.items():
            test.restore(state["guards"][name])
        if "missing_more" in state:
            analysis._missing_more.restore(state["missing_more"])
            analysis._missing_less.restore(state["missing_less"])
        analysis._ratio.restore(state["ratio"])
        analysis._clusters = UserClusters(users, state.get("clusters"))
        return analysis


def _breach_rates(test: EProcess) -> dict[str, float]:
    """Return the share of threads that breach a guard by arm; an arm without a thread is left out."""
    counts = zip(("stable", "canary"), test.hits, test.threads, strict=True)
    return {arm: hits / threads for arm, hits, threads in counts if threads}


def _recent_rates(test: EProcess) -> dict[str, float]:
    """Return the share of the last threads that fail or breach by arm; an arm without one is left out."""
    rates = zip(("stable", "canary"), test.recent_rates, strict=True)
    return {arm: rate for arm, rate in rates if rate is not None}


def _exponentiate(value: float) -> float:
    """Return the exponential, clipped to the range of a float."""
    return exp(min(max(value, -700.0), 700.0))
