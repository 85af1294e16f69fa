"""Measure how often the canary decides wrongly, and how many threads a decision takes.

usage: python benchmarks/canary/simulation.py [--quick] [--json FILE]

Thousands of rollouts side by side, a look after every thread, default settings and one guard
metric (errors at 2 % in both arms). The arithmetic is that of `burnish.canary`, on arrays; a test
checks that both agree. The comparison is the usual manual method: a z-test at every look.

- equal arms, success drifting 80 -> 60 -> 80 %, shares 1 -> 5 -> 25 -> 50 %: `equal_rolled_back`
- equal arms at 80 %, the same shares, 8,000 threads: `equal_promoted`
- an arm worse by exactly the margin (5 points), ramp and drift: `margin_worse_promoted`
- 80 -> 60 % at a share of 10 %: `drop20_median_threads`, `drop20_p90_threads` (canary threads)
- 80 -> 60 % with the demo's steps 25 -> 50 %: `demo_drop20_median_threads`
- 80 -> 5 % at 10 %: `breakage_p99_threads`
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.canary.analysis import PRIOR_THREADS
from burnish.canary.e_process import EDGE, NOT_WORSE_GRID, WORSE_GRID
from burnish.canary.policy import LEANS_AGAINST, SUCCESS_PART, count_step_threads
from burnish.project import CanaryConfig

ERRORS = 0.02


class ShiftTests:
    """Many `EProcess`es at once: arrays of R rollouts by G shifts."""

    def __init__(self, rollouts, grid, *, margin=0.0, prior=(0.5, 1.0)):
        weights = np.array([weight for _, weight in grid])
        self.shifts = np.array([shift for shift, _ in grid])[None, :]
        self.log_weights = np.log(weights / weights.sum())[None, :]
        self.margin = margin
        self.rate, self.weight = (np.broadcast_to(part, rollouts).copy() for part in prior)
        self.log = np.zeros((rollouts, len(grid)))
        self.threads = np.zeros(rollouts)
        self.hits = np.zeros(rollouts)

    def add(self, canary, hit, share):
        control = (self.hits + self.rate * self.weight) / (self.threads + self.weight)
        control = np.clip(control, EDGE, 1 - EDGE)[:, None]
        shifted = np.clip(control + self.shifts, EDGE, 1 - EDGE)
        null = nearest_null(control, shifted, share[:, None], self.margin)
        arm = canary[:, None]
        p = np.where(arm, shifted, control)
        n = np.where(arm, null - self.margin, null)
        self.log += np.log(np.where(hit[:, None], p / n, (1 - p) / (1 - n)))
        self.threads += ~canary
        self.hits += hit & ~canary

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


class Fleet:
    """Many rollouts of one world, side by side."""

    def __init__(self, world, rollouts, seed):
        self.world = world
        self.random = np.random.default_rng(seed)
        self.config = CanaryConfig(steps=list(world.steps), min_threads=world.min_threads)
        known = self.random.binomial(world.history, world.rate(0), rollouts)
        rate = (known + 0.5) / (world.history + 1.0)
        weight = min(world.history, PRIOR_THREADS) + 1.0
        self.worse = ShiftTests(rollouts, WORSE_GRID, prior=(1 - rate, weight))
        self.not_worse = ShiftTests(
            rollouts, NOT_WORSE_GRID, margin=self.config.margin, prior=(rate, weight)
        )
        self.guard = ShiftTests(rollouts, WORSE_GRID, prior=(0.05, 1.0))
        self.step = np.zeros(rollouts, int)
        self.canary = np.zeros(rollouts, int)
        self.on_step = np.zeros(rollouts, int)
        self.which = np.arange(rollouts)
        self.ended = np.zeros(rollouts, "U9")
        self.canary_at_end = np.zeros(rollouts, int)

    def run(self):
        for number in range(self.world.threads):
            self.thread(number)
            if not len(self.which):
                break
        return self

    def thread(self, number):
        shares = np.array(self.config.steps)
        share, rate = shares[self.step], self.world.rate(number)
        canary = self.random.random(len(share)) < share
        chance = np.where(canary, rate + self.world.gain, rate)
        success = self.random.random(len(share)) < chance
        error = self.random.random(len(share)) < ERRORS
        self.worse.add(canary, ~success, share)
        self.guard.add(canary, error, share)
        if self.world.promotes:
            self.not_worse.add(canary, success, share)
        self.canary += canary
        self.on_step += canary
        self.look(shares)

    def look(self, shares):
        alpha = self.config.alpha
        worse = self.worse.log_evidence()
        alarm = worse >= -math.log(alpha * SUCCESS_PART)
        alarm |= self.guard.log_evidence() >= -math.log(alpha * (1 - SUCCESS_PART))
        self.end(alarm, "back")
        last = self.step >= len(shares) - 2
        if self.world.promotes:
            proven = self.not_worse.log_evidence() >= -math.log(alpha)
            enough = self.canary >= self.config.min_threads
            self.end(~alarm & last & proven & enough, "promoted")
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
        for test in (self.worse, self.not_worse, self.guard):
            test.keep(live)
        for name in ("step", "canary", "on_step", "which"):
            setattr(self, name, getattr(self, name)[live])

    def share(self, how):
        return float((self.ended == how).mean())

    def canary_threads(self, quantile):
        found = np.where(self.ended == "back", self.canary_at_end, np.inf)
        return float(np.quantile(found, quantile))


def peeking(world, rollouts, seed):
    """Return the share of equal arms that a z-test at every look (from the 30th thread on) calls worse."""
    random = np.random.default_rng(seed)
    threads, hits = np.zeros((2, rollouts)), np.zeros((2, rollouts))
    alarm, rows = np.zeros(rollouts, bool), np.arange(rollouts)
    for number in range(world.threads // 2):
        canary = random.random(rollouts) < 0.5
        success = random.random(rollouts) < world.rate(number)
        threads[canary.astype(int), rows] += 1
        hits[canary.astype(int), rows] += success
        if number < 30:
            continue
        rates = hits / np.maximum(threads, 1)
        pooled = hits.sum(axis=0) / threads.sum(axis=0)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(threads, 1)).sum(axis=0))
        alarm |= (rates[1] - rates[0]) < -1.645 * np.maximum(spread, 1e-9)
    return float(alarm.mean())


def flat(_number):
    return 0.8


def drift(number):
    """Return 80 -> 60 -> 80 % over 8,000 threads."""
    return 0.8 - 0.2 * min(number, 8000 - number) / 4000


def figures(rollouts, quick_rollouts):
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
        "peeking_z_rolled_back": peeking(World(rate=flat, gain=0.0), quick_rollouts // 2, 7),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rollouts, under 50 s")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rollouts, small = (400, 1500) if args.quick else (4000, 10000)
    started = time.process_time()
    found = figures(rollouts, small)
    conditions = {
        "rollouts": rollouts,
        "rollouts_of_drops": small,
        "threads": 8000,
        "alpha": CanaryConfig().alpha,
        "margin": CanaryConfig().margin,
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    for name, value in found.items():
        print(f"{name:28s} {value:.4g}")
    if args.json:
        args.json.write_text(json.dumps({"figures": found, "conditions": conditions}, indent=2))


if __name__ == "__main__":
    main()
