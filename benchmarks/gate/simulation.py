"""Measure how often the gate is right on simulated evaluations, beside an uncorrected McNemar test.

usage: python benchmarks/gate/simulation.py [--quick] [--json FILE]

Every figure is a share of simulated rounds that go through the gate's own `decide` with its default rules. `plain_*`
reads the same rounds by the rule that evaluation tools offer: exact McNemar, two-sided p <= 0.05, better than before,
every attempt a pair of its own, no correction.

equal_*_promoted rounds in which some equal candidate is promoted: one decision; ten candidates one after the other on
one set; five rounds on one set in which a promoted candidate becomes the version before; tasks alone, or in families of
3 or 6 that flip together; one result a task, or noisy attempts (each task has its own success rate).
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.records import Evaluation, PoolComparison, TaskComparison
from burnish.statistics import (
    holm_adjust,
    mcnemar_p_value,
    measure_gain,
    paired_tasks,
    wilson_rate,
)
from burnish_trainer.gate import decide

TASKS, SOLVED, FLIPS = 180, 0.6, 6
TESTED = 200  # tasks of the gain of 10 and the loss of 5 points
Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Design:
    """A held-out set and the candidates that are held against it.

    Attributes:
        family: Tasks of a family, which flip together.
        attempts: Attempts at a task; more than one are noisy.
        looks: Candidates that are decided on one after the other.
        moves: A promoted candidate becomes the version before.
        repeats: Further attempts of the version before at the tasks it solved.
    """

    family: int = 1
    attempts: int = 1
    looks: int = 1
    moves: bool = False
    repeats: int = 2


def compare(before: np.ndarray, after: np.ndarray, again: np.ndarray, family: int) -> Evaluation:
    """Build the evaluation of results (task, attempt); `again` holds further attempts of the version before."""
    won, lost = (~before & after).sum(1), (before & ~after).sum(1)
    solved, tries = before.sum(1), before.shape[1]
    if tries > 1:
        others, failed = tries - 1, tries - solved
    else:
        others, failed = again.shape[1], (~again).sum(1)
    tasks = [
        TaskComparison(
            task=str(n), family=str(n // family), pairs=tries, won=w, lost=x, solved=s,
            repeats=s * others, lost_again=s * f,
        )
        for n, (w, x, s, f) in enumerate(
            zip(won.tolist(), lost.tolist(), solved.tolist(), failed.tolist(), strict=True)
        )
    ]  # fmt: skip
    total = before.size
    pool = PoolComparison(
        pool="heldout",
        before=wilson_rate(int(before.sum()), total),
        after=wilson_rate(int(after.sum()), total),
        gain=float(after.mean() - before.mean()),
        ci95=(-1.0, 1.0),  # the gate measures its own
        won=int(won.sum()),
        lost=int(lost.sum()),
        p_value=1.0,
        tasks=tasks,
    )
    return Evaluation(
        agent="simulated",
        base_model="none",
        before=None,
        after=None,
        pools={"heldout": pool},
        trajectories=0,
    )


@functools.lru_cache(maxsize=100_000)
def plainly_better(won: int, lost: int) -> bool:
    """Read counts by the uncorrected rule."""
    return won > lost and mcnemar_p_value(won, lost) <= 0.05


def in_families(values: np.ndarray, family: int) -> np.ndarray:
    """Give every task of a family the value of its first."""
    return np.repeat(values[::family], family, axis=0)


def flip(rng: np.random.Generator, before: np.ndarray, lost: float, won: float) -> np.ndarray:
    """Lose and win these shares of all tasks, in the mean."""
    share = max(before.mean(), 1e-9)
    chance = np.where(before, lost / share, won / max(1 - share, 1e-9))
    return before ^ (rng.random(before.shape) < chance)


def play_equal(design: Design, rng: np.random.Generator) -> tuple[bool, bool]:
    """Play one round of equal candidates; return whether the gate and the plain rule promote any."""
    rates = in_families(rng.beta(3, 2, TASKS)[:, None], design.family)
    noisy = design.attempts > 1
    before = rng.random((TASKS, design.attempts)) < (rates if noisy else SOLVED)
    before = before if noisy else in_families(before, design.family)
    plain_before, promoted, plain = before, False, False
    for look in range(1, design.looks + 1):
        if noisy:
            after = rng.random(before.shape) < rates
            plain_after = after
        else:
            flips = rng.random((TASKS, 1))
            after = _flip_equally(before, flips, design.family)
            plain_after = _flip_equally(plain_before, flips, design.family)
        again = np.ones((TASKS, design.repeats), bool)
        found = compare(before, after, again, design.family)
        passed = decide(found, number=look).decision == "promote"
        lost = int((plain_before & ~plain_after).sum())
        read = plainly_better(int((~plain_before & plain_after).sum()), lost)
        promoted, plain = promoted or passed, plain or read
        if design.moves:
            before = after if passed else before
            plain_before = plain_after if read else plain_before
    return promoted, plain


def _flip_equally(before: np.ndarray, draws: np.ndarray, family: int) -> np.ndarray:
    """Lose and win `FLIPS` tasks in the mean, whole families at a time."""
    solved = max(1, int(before.sum()))
    chance = np.where(before, FLIPS / solved, FLIPS / max(1, TASKS - solved))
    return before ^ in_families(draws < chance, family)


def play_change(
    rng: np.random.Generator, won: float, lost: float, number: int = 1
) -> tuple[str, bool]:
    """Decide on a candidate that wins and loses these shares of 200 tasks; the version before repeats itself."""
    before = rng.random((TESTED, 1)) < SOLVED
    after = flip(rng, before, lost, won)
    found = compare(before, after, np.ones((TESTED, 2), bool), 1)
    pool = found.pools["heldout"]
    return decide(found, number=number).decision, plainly_better(pool.won, pool.lost)


def play_noisy(rng: np.random.Generator, rates: tuple[float, float], attempts: int) -> str:
    """Decide on outcomes that are noisy in every attempt."""
    before = rng.random((TASKS, attempts)) < rates[0]
    after = rng.random((TASKS, attempts)) < rates[1]
    again = rng.random((TASKS, 2)) < rates[0]
    return decide(compare(before, after, again, 1)).decision


def play_metrics(rng: np.random.Generator) -> tuple[bool, bool]:
    """Read four metrics of one equal candidate: with Holm's correction, and each by the plain rule."""
    p_values, plain = {}, False
    for metric in range(4):
        before = rng.random((TASKS, 1)) < SOLVED
        after = _flip_equally(before, rng.random((TASKS, 1)), 1)
        pool = compare(before, after, before, 1).pools["heldout"]
        p_values[str(metric)] = measure_gain(paired_tasks(pool.tasks)).p_better
        plain = plain or plainly_better(pool.won, pool.lost)
    return min(holm_adjust(p_values).values()) <= 0.025, plain


EQUAL = {
    "equal_promoted": Design(),
    "equal_promoted_families": Design(family=3),
    "equal_promoted_families_of_6": Design(family=6),
    "equal_promoted_attempts": Design(attempts=3),
    "equal_promoted_families_attempts": Design(family=3, attempts=3),
    "equal_promoted_ten_tries": Design(looks=10),
    "equal_promoted_families_ten_tries": Design(family=3, looks=10),
    "equal_promoted_five_rounds": Design(looks=5, moves=True),
    "equal_promoted_families_five_rounds": Design(family=3, looks=5, moves=True),
    "equal_promoted_families_attempts_ten_tries": Design(family=3, attempts=3, looks=10),
}


def measure_equal(rounds: int) -> dict[str, float]:
    """Measure how often equal candidates are promoted."""
    figures = {}
    for seed, (name, design) in enumerate(EQUAL.items()):
        rng = np.random.default_rng(seed)
        found = np.array([play_equal(design, rng) for _ in range(rounds)])
        figures[name], figures[f"plain_{name}"] = found.mean(0)
    rng = np.random.default_rng(100)
    found = np.array([play_metrics(rng) for _ in range(rounds)])
    figures["equal_shown_any_of_4"], figures["plain_equal_shown_any_of_4"] = found.mean(0)
    return figures


def measure_changes(rounds: int) -> dict[str, float]:
    """Measure how often true gains are promoted and true losses stopped."""
    rng, figures = np.random.default_rng(200), {}
    for number in (1, 2, 3, 5):
        found = [play_change(rng, 0.15, 0.05, number) for _ in range(rounds)]
        name = "gain10_promoted" if number == 1 else f"gain10_promoted_at_decision_{number}"
        figures[name] = np.mean([decision == "promote" for decision, _ in found])
        if number == 1:
            figures["gain10_rejected"] = np.mean([decision == "reject" for decision, _ in found])
            figures["plain_gain10_promoted"] = np.mean([plain for _, plain in found])
    found = [play_change(rng, 0.05, 0.10) for _ in range(rounds)]
    figures["loss5_stopped"] = np.mean([decision != "promote" for decision, _ in found])
    figures["plain_loss5_stopped"] = np.mean([not plain for _, plain in found])
    for name, rates, attempts in (
        ("noisy_gain20", (0.6, 0.8), 1),
        ("noisy_gain20_attempts", (0.6, 0.8), 3),
        ("noisy_gain10_attempts", (0.6, 0.7), 3),
        ("noisy_loss5", (0.6, 0.55), 1),
    ):
        decisions = [play_noisy(rng, rates, attempts) for _ in range(rounds)]
        for decision in ("promote", "reject"):
            figures[f"{name}_{decision.removesuffix('e')}ed"] = decisions.count(decision) / rounds
    return figures


def main() -> int:
    """Simulate, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rounds, started = 100 if args.quick else 2_000, time.process_time()
    figures = {**measure_equal(rounds), **measure_changes(rounds)}
    figures = {name: round(float(value), 4) for name, value in figures.items()}
    conditions = {
        "rounds": rounds,
        "tasks": TASKS,
        "tasks_of_gain10_and_loss5": TESTED,
        "solved_before": SOLVED,
        "lost_and_won_by_equal_candidates": FLIPS,
        "rules": "defaults of [agent.NAME.gate]",
        "numpy": np.__version__,
        "python": sys.version.split()[0],
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    print(json.dumps(figures, indent=1), json.dumps(conditions))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"figures": figures, "conditions": conditions}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
