"""Measure the canary's error rates, and the number of threads that a decision takes.

usage: python benchmarks/canary/simulation.py [--quick] [--rollouts N] [--json FILE]

Thousands of rollouts side by side, a look after every thread, default settings and one guard
metric (errors at 2 % in both arms). Arithmetic and rule are those of `burnish.canary`, on arrays; a test
plays the same rollouts with `PhaseEvaluator`, and each must end alike.

- equal arms, success drifting 80 -> 60 -> 80 %, shares 1 -> 5 -> 25 -> 50 %: `equal_rolled_back`
- equal arms at 80 %, the same shares, 8,000 threads: `equal_promoted`
- an arm worse by exactly the margin (5 points), ramp and drift: `margin_worse_promoted`
- 80 -> 60 % at a share of 10 %: `drop20_median_threads`, `drop20_p90_threads` (canary threads)
- 80 -> 60 % with the demo's steps 25 -> 50 %: `demo_drop20_median_threads`
- 80 -> 5 % at 10 %: `breakage_p99_threads`

Outcomes that come late, stay away or belong together (one thread a second; the maturity window is
learnt from 400 threads of stable):

- equal arms, successes of the canary after 300 s, all else after 100 s: `equal_rolled_back_delayed`
- in both arms successes after 300 s and failures after 30 s: `equal_rolled_back_delayed_alike`
- worse by the margin, failures of the canary after 600 s, all else after 60 s:
  `margin_worse_promoted_delayed`
- 30 % of all outcomes missing at random: `equal_rolled_back_missing`, `margin_worse_promoted_missing`,
  `equal_paused_missing`
- the canary at 60 against 80 %, 80 % of its failures stay away: `unequal_missing_paused`
- 200 users with 40 threads each, who differ in difficulty (60 to 100 %) and in what the canary is to
  them: `equal_rolled_back_clusters`, `margin_worse_promoted_clusters`, and without the design effect
  `margin_worse_promoted_clusters_plain`
- a drop of 20 points after 5,000 healthy threads behind a hold-back of 5 %, against one at once:
  `aged_drop_ratio`, `fresh_drop_threads`, `aged_drop_threads`, and `healthy_rolled_back` of 5,000
- hosts one hour behind, five minutes behind and five minutes ahead: `clock_fault_judged`, the share of
  their threads that is judged

Beside it, on equal arms at a share of one half, as outcomes arrive: a z-test at every look
(`peeking_z_*`), mSPRT (`msprt_*`) and a confidence sequence (`sequence_*`), each as it is with outcomes
at once (`_rolled_back`), delayed (`_delayed`) and for a canary of 60 against 80 % whose failures stay
away (`_missing_called_worse`).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.canary.analysis import CANARY_FIRST_WEIGHT, FIRST_WEIGHT, HORIZON, PRIOR_THREADS
from burnish.canary.document import RolloutDocument
from burnish.canary.e_process import EDGE, FORGET, NOT_WORSE_GRID, WORSE_GRID
from burnish.canary.evaluator import PhaseEvaluator
from burnish.canary.ledger import Thread
from burnish.canary.maturity import learn_window
from burnish.canary.outcomes import Look, ObservedThread, ReadingPosition
from burnish.canary.policy import LEANS_AGAINST, SUCCESS_PART, count_step_threads
from burnish.project import CanaryConfig

ERRORS = 0.02
SECOND = 10**9


class ShiftTests:
    """Many `EProcess`es at once: arrays of R rollouts by G shifts."""

    def __init__(self, rollouts, grid, *, margin=0.0, prior=(0.5, 1.0), first=1.0):
        weights = np.array([weight for _, weight in grid])
        self.shifts = np.array([shift for shift, _ in grid])[None, :]
        self.log_weights = np.log(weights / weights.sum())[None, :]
        self.margin = margin
        self.rate, self.weight = (np.broadcast_to(part, rollouts).copy() for part in prior)
        self.log = np.full((rollouts, len(grid)), math.log(first))
        self.restart = math.log((1 - first) / HORIZON) if first < 1 else -np.inf
        self.threads = np.zeros(rollouts)
        self.hits = np.zeros(rollouts)

    def add(self, canary, hit, share, counted=True):
        control = (self.hits + self.rate * self.weight) / (self.threads + self.weight)
        control = np.clip(control, EDGE, 1 - EDGE)[:, None]
        shifted = np.clip(control + self.shifts, EDGE, 1 - EDGE)
        null = nearest_null(control, shifted, share[:, None], self.margin)
        arm = canary[:, None]
        p = np.where(arm, shifted, control)
        n = np.where(arm, null - self.margin, null)
        factor = np.log(np.where(hit[:, None], p / n, (1 - p) / (1 - n)))
        after = np.logaddexp(self.log, self.restart) + factor
        self.log = np.where(np.broadcast_to(counted, canary.shape)[:, None], after, self.log)
        self.threads += ~canary & counted
        self.hits += hit & ~canary & counted

    def log_evidence(self):
        weighed = self.log + self.log_weights
        top = weighed.max(axis=1)
        return top + np.log(np.exp(weighed - top[:, None]).sum(axis=1))

    def keep(self, rows):
        for name in ("log", "threads", "hits", "rate", "weight"):
            setattr(self, name, getattr(self, name)[rows])


def nearest_null(control, shifted, share, margin):
    if margin == 0.0:
        return share * shifted + (1 - share) * control
    rest, top, sum_ = 1 - share, 1 + margin, control + margin
    c2 = share * (top + shifted) + rest * (top + sum_)
    c1 = share * (shifted + margin) + rest * (top * sum_ + control * margin)
    c0 = rest * top * control * margin
    third = c2 / 3
    radius = np.sqrt(np.maximum(third**2 - c1 / 3, 1e-300))
    cosine = (third**3 - third * c1 / 2 + c0 / 2) / radius**3
    angle = np.arccos(np.clip(cosine, -1, 1))
    return third + 2 * radius * np.cos((angle - 2 * np.pi) / 3)


class Rates:
    """Failure rates of R rollouts by arm, over all threads and over the last ones."""

    def __init__(self, rollouts):
        self.whole = np.zeros((2, 2, rollouts))  # arm; threads and failures
        self.recent = np.zeros((2, 2, rollouts))

    def add(self, canary, failed, counted):
        rows = np.arange(len(canary))
        self.recent = np.where(counted, FORGET * self.recent, self.recent)
        for counts in (self.whole, self.recent):
            counts[canary.astype(int), 0, rows] += counted
            counts[canary.astype(int), 1, rows] += counted & failed

    def fails_more(self):
        """True where the canary fails more often than stable, over all threads or lately."""
        known = (self.whole[:, 0] > 0).all(axis=0)
        more = np.zeros_like(known)
        for counts in (self.whole, self.recent):
            rates = counts[:, 1] / np.maximum(counts[:, 0], 1e-300)
            more |= rates[1] > rates[0] + 1e-12
        return known & more

    def keep(self, rows):
        self.whole, self.recent = self.whole[:, :, rows], self.recent[:, :, rows]


class Users:
    """Many `UserClusters` at once: the design effect of R rollouts with U users each."""

    def __init__(self, rollouts, users):
        self.counts = np.zeros((rollouts, users, 4))
        self.sums = np.zeros((rollouts, 4, 4))
        self.totals = np.zeros((rollouts, 4))

    def add(self, user, canary, success, counted):
        rows = np.arange(len(user))
        before = self.counts[rows, user]
        after = before.copy()
        place = np.where(canary, 0, 2)
        after[rows, place] += success & counted
        after[rows, place + 1] += counted
        self.counts[rows, user] = after
        self.totals += after - before
        self.sums += after[:, :, None] * after[:, None, :] - before[:, :, None] * before[:, None, :]

    def design_effect(self):
        won, of, won0, of0 = self.totals.T
        of, of0 = np.maximum(of, 1e-9), np.maximum(of0, 1e-9)
        canary, stable = won / of, won0 / of0
        alone = canary * (1 - canary) / of + stable * (1 - stable) / of0
        weights = np.stack([1 / of, -canary / of, -1 / of0, stable / of0], axis=1)
        clustered = np.einsum("ri,rij,rj->r", weights, self.sums, weights)
        known = (of >= 1) & (of0 >= 1) & (alone > 0)
        return np.where(known, np.maximum(1.0, clustered / np.where(known, alone, 1.0)), 1.0)

    def keep(self, rows):
        self.counts, self.sums = self.counts[rows], self.sums[rows]
        self.totals = self.totals[rows]


@dataclass(frozen=True, kw_only=True)
class World:
    """The true rates of a scenario."""

    rate: Callable[[int], float]  # stable's success at a thread's number
    gain: float  # the canary's success minus stable's
    steps: tuple[float, ...] = (0.01, 0.05, 0.25, 0.5, 1.0)
    min_threads: int = 50
    threads: int = 8000
    history: int = 0  # judged threads of stable before the rollout
    promotes: bool = True
    delay: Callable | None = None  # mean seconds of an outcome, by arm and success
    missing: Callable | None = None  # chance that an outcome stays away, by arm and success
    users: int = 0
    spread: float = 0.0  # users differ by so much in success, and in the canary's gain
    clustered: bool = True  # use the design effect


class Fleet:
    """Many rollouts of one world, side by side."""

    def __init__(self, world, rollouts, seed):
        self.world = world
        self.random = np.random.default_rng(seed)
        self.config = CanaryConfig(steps=list(world.steps), min_threads=world.min_threads)
        known = self.random.binomial(world.history, world.rate(0), rollouts)
        rate = (known + 0.5) / (world.history + 1.0)
        weight = min(world.history, PRIOR_THREADS) + 1.0
        first = CANARY_FIRST_WEIGHT
        self.worse = ShiftTests(rollouts, WORSE_GRID, prior=(1 - rate, weight), first=first)
        self.not_worse = ShiftTests(
            rollouts, NOT_WORSE_GRID, margin=self.config.margin, prior=(rate, weight)
        )
        self.guard = ShiftTests(rollouts, WORSE_GRID, prior=(0.05, 1.0), first=first)
        self.tests = [self.worse, self.not_worse, self.guard]
        if world.delay or world.missing:
            self.more = ShiftTests(rollouts, WORSE_GRID, prior=(0.05, 1.0))
            self.less = ShiftTests(rollouts, WORSE_GRID, prior=(0.95, 1.0))
            self.tests += [self.more, self.less]
        self.users = Users(rollouts, world.users) if world.users else None
        if self.users:
            self.tests.append(self.users)
            apart = np.linspace(-world.spread, world.spread, world.users)
            self.ease, self.taste = apart, self.random.permutation(apart)
        self.window = learned_window(world, self.random)
        self.queue = deque()
        self.step = np.zeros(rollouts, int)
        self.canary = np.zeros(rollouts, int)
        self.rates, self.errors = Rates(rollouts), Rates(rollouts)
        self.tests += [self.rates, self.errors]
        self.on_step = np.zeros(rollouts, int)
        self.which = np.arange(rollouts)
        self.ended = np.zeros(rollouts, "U9")
        self.canary_at_end = np.zeros(rollouts, int)

    def run(self):
        for number in range(self.world.threads):
            self.queue.append(self.assign(number))
            if len(self.queue) > self.window:
                self.judge(*self.queue.popleft())
                self.look()
            if not len(self.which):
                break
        return self

    def assign(self, number):
        """Draw the next thread of each rollout, and what is known of it when its window ends."""
        world, random = self.world, self.random
        share = np.array(self.config.steps)[self.step]
        rollouts = len(share)
        canary = random.random(rollouts) < share
        stable_rate, gain, user = world.rate(number), world.gain, None
        if self.users:
            user = random.integers(world.users, size=rollouts)
            stable_rate, gain = stable_rate + self.ease[user], gain + self.taste[user]
        chance = np.clip(np.where(canary, stable_rate + gain, stable_rate), 0, 1)
        success = random.random(rollouts) < chance
        error = random.random(rollouts) < ERRORS
        in_time = np.ones(rollouts, bool)
        if world.delay:
            in_time &= random.exponential(world.delay(canary, success)) <= self.window
        if world.missing:
            in_time &= random.random(rollouts) >= world.missing(canary, success)
        return [canary, success, error, in_time, share, self.step.copy(), user]

    def judge(self, canary, success, error, in_time, share, step, user):
        self.worse.add(canary, ~success, share, in_time)
        self.guard.add(canary, error, share)
        if self.world.promotes:
            self.not_worse.add(canary, success, share, in_time)
        if self.world.delay or self.world.missing:
            self.more.add(canary, ~in_time, share)
            self.less.add(canary, in_time, share)
        if self.users:
            self.users.add(user, canary, success, in_time)
        self.rates.add(canary, ~success, in_time)
        self.errors.add(canary, error, np.ones(len(canary), bool))
        self.canary += canary & in_time
        self.on_step += canary & in_time & (step == self.step)

    def look(self):
        alpha, shares = self.config.alpha, self.config.steps
        effect = self.users.design_effect() if self.users and self.world.clustered else 1.0
        worse = self.worse.log_evidence() / effect
        alarm = worse >= -math.log(alpha * SUCCESS_PART)
        alarm &= self.rates.fails_more()
        void = np.zeros(len(worse), bool)
        if self.world.delay or self.world.missing:
            both = np.logaddexp(self.more.log_evidence(), self.less.log_evidence()) - math.log(2)
            void = both >= -math.log(alpha)
        guard = self.guard.log_evidence() >= -math.log(alpha * (1 - SUCCESS_PART))
        guard &= self.errors.fails_more()
        self.end((alarm & ~void) | guard, "back")
        self.end(void, "paused")
        last = self.step >= len(shares) - 2
        if self.world.promotes:
            proven = self.not_worse.log_evidence() / effect >= -math.log(alpha)
            enough = self.canary >= self.config.min_threads
            self.end(last & proven & enough, "promoted")
        further = ~last & (self.on_step >= count_step_threads(self.config))
        further &= worse <= math.log(LEANS_AGAINST)
        self.step += further
        self.on_step[further] = 0
        self.drop_ended()

    def end(self, rows, how):
        rows = rows & (self.ended[self.which] == "")
        self.ended[self.which[rows]] = how
        self.canary_at_end[self.which[rows]] = self.canary[rows]

    def drop_ended(self):
        live = self.ended[self.which] == ""
        if live.mean() > 0.9 and live.any():
            return
        for test in self.tests:
            test.keep(live)
        for name in ("step", "canary", "on_step", "which"):
            setattr(self, name, getattr(self, name)[live])
        for waiting in self.queue:
            waiting[:] = [part if part is None else part[live] for part in waiting]

    def share(self, how):
        return float((self.ended == how).mean())

    def canary_threads(self, quantile):
        found = np.where(self.ended == "back", self.canary_at_end, np.inf)
        return float(np.quantile(found, quantile))


def learned_window(world, random, threads=400):
    """Learn the maturity window from threads of stable, one a second, whose outcomes are all old."""
    if not world.delay:
        return 0
    success = random.random(threads) < world.rate(0)
    delays = random.exponential(world.delay(np.zeros(threads, bool), success))
    return math.ceil(learn_window([(1e9, float(delay)) for delay in delays]).seconds)


def arrivals(rollouts, random, *, canary_rate, delay=None, missing=None, threads=4000):
    """Arms and outcomes of one thread a second at a share of one half, in the order of arrival."""
    canary = random.random((threads, rollouts)) < 0.5
    success = random.random(canary.shape) < np.where(canary, canary_rate, 0.8)
    at = np.arange(threads, dtype=float)[:, None] + np.zeros(canary.shape)
    if delay:
        at += random.exponential(delay(canary, success))
    known = np.ones(canary.shape, bool)
    if missing:
        known = random.random(canary.shape) >= missing(canary, success)
    order = np.argsort(at, axis=0)
    return tuple(np.take_along_axis(part, order, axis=0) for part in (canary, success, known))


def peers(canary, success, known, alpha=0.05):
    """Share of rollouts that each test calls worse at some look from the 30th thread on."""
    of = np.stack([(~canary & known).cumsum(axis=0), (canary & known).cumsum(axis=0)]).astype(float)
    won = np.stack(
        [(~canary & known & success).cumsum(axis=0), (canary & known & success).cumsum(axis=0)]
    )
    counts = np.maximum(of, 1)
    difference = won[1] / counts[1] - won[0] / counts[0]
    pooled = won.sum(axis=0) / np.maximum(of.sum(axis=0), 1)
    variance = np.maximum(pooled * (1 - pooled) * (1 / counts).sum(axis=0), 1e-12)
    looks = (np.arange(len(canary)) >= 30)[:, None] & (of.min(axis=0) >= 1)
    z = difference < -1.645 * np.sqrt(variance)
    tau = 0.1**2  # variance of the mixture over differences (Johari et al. 2022)
    log_ratio = 0.5 * np.log(variance / (variance + tau))
    log_ratio += tau * difference**2 / (2 * variance * (variance + tau))
    msprt = (log_ratio >= -math.log(alpha)) & (difference < 0)
    sequence = asymptotic_sequence(canary, success, known, alpha)
    return {
        name: float((alarm & looks).any(axis=0).mean())
        for name, alarm in (("peeking_z", z), ("msprt", msprt), ("sequence", sequence))
    }


def asymptotic_sequence(canary, success, known, alpha):
    """True where the two-sided confidence sequence of the weighted difference lies below 0.

    Asymptotic confidence sequence of Waudby-Smith et al. (2024), tightest at 1,000 threads.
    """
    weighted = np.where(canary, 2.0, -2.0) * success * known
    number = np.maximum(known.cumsum(axis=0), 1)
    mean = weighted.cumsum(axis=0) / number
    spread = np.sqrt(np.maximum((weighted**2).cumsum(axis=0) / number - mean**2, 1e-12))
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / 1000
    inner = number * rho2 + 1
    width = spread * np.sqrt(2 * inner / (number**2 * rho2) * np.log(np.sqrt(inner) / alpha))
    return mean + width < 0


def drop_threads(rollouts, seed, healthy, most=6000, share=0.95):
    """Threads until the rollback of a promoted version that falls from 80 to 60 % after some threads."""
    random = np.random.default_rng(seed)
    test = ShiftTests(rollouts, WORSE_GRID, prior=(0.5, 1.0), first=FIRST_WEIGHT)
    planned, when = np.full(rollouts, share), np.full(rollouts, np.inf)
    rates, every = Rates(rollouts), np.ones(rollouts, bool)
    for number in range(healthy + most):
        version = random.random(rollouts) < share
        rate = np.where(version & (number >= healthy), 0.6, 0.8)
        failed = random.random(rollouts) >= rate
        test.add(version, failed, planned)
        rates.add(version, failed, every)
        alarm = (test.log_evidence() >= -math.log(CanaryConfig().alpha)) & rates.fails_more()
        when[alarm & np.isinf(when)] = number
        if np.isfinite(when).all():
            break
    return when


def clock_fault_judged(threads=1500):
    """Share of threads of hosts with wrong clocks that the real evaluator judges, a look a minute."""
    config = CanaryConfig(decides="crm", maturity_s=600.0, max_threads=10**6)
    document = RolloutDocument(state="PAUSED", config=config, rollout="r", phase_id="r")
    evaluator, started = PhaseEvaluator(document), 10**18
    offsets, open_threads, judged, looked = (-3600, -300, 300), [], 0, started
    for minute in range(1, threads // 30 + 21):
        now = started + minute * 60 * SECOND
        look = Look([], ReadingPosition(looked_ns=looked), now)
        for number in range((minute - 1) * 30, min(minute * 30, threads)):
            offset = offsets[number % 3] * SECOND
            at = looked + (number % 30) * 2 * SECOND + offset
            seen = ObservedThread(
                str(number), at, "canary" if number % 2 else "stable", 0.5, True, at, {}, False
            )
            open_threads.append(
                Thread(
                    thread=seen.thread,
                    assigned_ns=look.clamp(seen.assigned_ns),
                    reported_ns=look.clamp(seen.reported_ns),
                    arm=seen.arm,
                    share=seen.share,
                    success=True,
                )
            )
        open_threads.sort(key=lambda thread: thread.assigned_ns)
        ready = list(evaluator.select_ready(open_threads, document, now))
        judged += sum(state == "judged" for _, state in ready)
        closed = {thread.thread for thread, _ in ready}
        open_threads = [thread for thread in open_threads if thread.thread not in closed]
        looked = now
    return judged / threads


def flat(_number):
    return 0.8


def drift(number):
    """80 -> 60 -> 80 % over 8,000 threads."""
    return 0.8 - 0.2 * min(number, 8000 - number) / 4000


def canary_successes_late(canary, success):
    return np.where(canary & success, 300.0, 100.0)


def canary_failures_late(canary, success):
    return np.where(canary & ~success, 600.0, 60.0)


def successes_late(_canary, success):
    return np.where(success, 300.0, 30.0)


def at_random(canary, _success):
    return np.full(canary.shape, 0.3)


def canary_failures_missing(canary, success):
    return np.where(canary & ~success, 0.8, 0.0)


def basic_figures(rollouts, quick_rollouts):
    equal = Fleet(World(rate=drift, gain=0.0), rollouts, 1).run()
    flat_equal = Fleet(World(rate=flat, gain=0.0), rollouts, 2).run()
    margin = Fleet(World(rate=drift, gain=-0.05), rollouts, 3).run()
    tenth = {"steps": (0.1, 1.0), "promotes": False, "threads": 4000}
    drop = Fleet(World(rate=flat, gain=-0.2, **tenth), quick_rollouts, 4).run()
    broken = Fleet(World(rate=flat, gain=-0.75, **tenth), quick_rollouts, 5).run()
    demo = Fleet(
        World(rate=flat, gain=-0.2, steps=(0.25, 0.5, 1.0), min_threads=20, history=30),
        quick_rollouts,
        6,
    ).run()
    return {
        "equal_rolled_back": equal.share("back"),
        "equal_promoted": flat_equal.share("promoted"),
        "margin_worse_promoted": margin.share("promoted"),
        "drop20_median_threads": drop.canary_threads(0.5),
        "drop20_p90_threads": drop.canary_threads(0.9),
        "demo_drop20_median_threads": demo.canary_threads(0.5),
        "breakage_p99_threads": broken.canary_threads(0.99),
    }


def outcome_figures(rollouts, threads):
    """Outcomes that are late, missing or clustered, while success drifts."""

    def ended(seed, **world):
        given = {"rate": drift, "gain": 0.0, "threads": threads}
        return Fleet(World(**given | world), rollouts, seed).run()

    users = {"users": 200, "spread": 0.2, "rate": flat}
    delayed = ended(11, delay=canary_successes_late)
    missing = ended(14, missing=at_random)
    unequal = ended(16, rate=flat, gain=-0.2, missing=canary_failures_missing)
    margin = {"gain": -0.05}
    return {
        "equal_rolled_back_delayed": delayed.share("back"),
        "equal_rolled_back_delayed_alike": ended(12, delay=successes_late).share("back"),
        "margin_worse_promoted_delayed": ended(13, delay=canary_failures_late, **margin).share(
            "promoted"
        ),
        "equal_rolled_back_missing": missing.share("back"),
        "equal_paused_missing": missing.share("paused"),
        "margin_worse_promoted_missing": ended(15, missing=at_random, **margin).share("promoted"),
        "unequal_missing_paused": unequal.share("paused"),
        "equal_rolled_back_clusters": ended(17, **users).share("back"),
        "margin_worse_promoted_clusters": ended(18, **users, **margin).share("promoted"),
        "margin_worse_promoted_clusters_plain": ended(18, **users, **margin, clustered=False).share(
            "promoted"
        ),
    }


def aged_figures(rollouts):
    fresh, aged = drop_threads(rollouts, 21, 0), drop_threads(rollouts, 22, 5000)
    late = aged[aged >= 5000] - 5000
    return {
        "fresh_drop_threads": float(np.median(fresh)),
        "aged_drop_threads": float(np.median(late)),
        "aged_drop_ratio": float(np.median(late) / np.median(fresh)),
        "healthy_rolled_back": float((aged < 5000).mean()),
    }


def peer_figures(rollouts):
    random = np.random.default_rng(31)
    streams = {
        "rolled_back": arrivals(rollouts, random, canary_rate=0.8),
        "delayed": arrivals(rollouts, random, canary_rate=0.8, delay=canary_successes_late),
        "missing_called_worse": arrivals(
            rollouts, random, canary_rate=0.6, missing=canary_failures_missing
        ),
    }
    found = {}
    for name, stream in streams.items():
        found |= {f"{peer}_{name}": share for peer, share in peers(*stream).items()}
    return found


def figures(rollouts, quick_rollouts, outcome_rollouts, threads):
    return {
        **basic_figures(rollouts, quick_rollouts),
        **outcome_figures(outcome_rollouts, threads),
        **aged_figures(outcome_rollouts),
        "clock_fault_judged": clock_fault_judged(),
        **peer_figures(outcome_rollouts),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rollouts, under 50 s")
    parser.add_argument("--rollouts", type=int, help="the same number for every figure")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    sizes = (200, 1000, 100, 3000) if args.quick else (4000, 10000, 2000, 8000)
    if args.rollouts:
        sizes = (args.rollouts,) * 3 + (8000,)
    rollouts, small, outcomes, threads = sizes
    started = time.process_time()
    found = figures(*sizes)
    conditions = {
        "rollouts": rollouts,
        "rollouts_of_drops": small,
        "rollouts_of_outcomes": outcomes,
        "threads": 8000,
        "threads_of_outcomes": threads,
        "alpha": CanaryConfig().alpha,
        "margin": CanaryConfig().margin,
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    for name, value in found.items():
        print(f"{name:36s} {value:.4g}")
    if args.json:
        args.json.write_text(json.dumps({"figures": found, "conditions": conditions}, indent=2))


if __name__ == "__main__":
    main()
