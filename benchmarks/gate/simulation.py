"""Measure how often the gate is right, over simulated evaluations with known truth.

usage: python benchmarks/gate/simulation.py [--quick] [--json FILE]

Each simulated evaluation has 180 held-out, 60 standing and 60 capability tasks. A task is solved before with
probability 0.60; the effect of a candidate is drawn from the shares of tasks won and lost below. Figures:

equal_promoted   share of candidates without any true gain (as many won as lost) that are promoted
gain10_promoted  share of candidates with a true gain of 10 points that are promoted
loss5_stopped    share of candidates with a true loss of 5 points that are not promoted
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

from burnish.records import Evaluation, PoolComparison
from burnish_trainer.evaluation.statistics import mcnemar_p_value, paired_interval, wilson_rate
from burnish_trainer.gate import decide

TASKS = {"heldout": 180, "standing": 60, "capability": 60}
SOLVED = 0.60
TRUTHS = {  # of all tasks: share won, share lost
    "equal": (0.04, 0.04),
    "gain10": (0.12, 0.02),
    "loss5": (0.02, 0.07),
}


def compared(
    pool: str, total: int, truth: tuple[float, float], rng: random.Random
) -> PoolComparison:
    """Return one pool of a simulated evaluation; the capability pool keeps its success rate."""
    gained, dropped = truth if pool != "capability" else (0.02, 0.02)
    solved = won = lost = 0
    for _ in range(total):
        if rng.random() < SOLVED:
            solved += 1
            lost += rng.random() < dropped / SOLVED
        else:
            won += rng.random() < gained / (1 - SOLVED)
    return PoolComparison(
        pool=pool,
        before=wilson_rate(solved, total),
        after=wilson_rate(solved + won - lost, total),
        gain=(won - lost) / total,
        ci95=paired_interval(won, lost, total),
        won=won,
        lost=lost,
        p_value=mcnemar_p_value(won, lost),
    )


def promoted(truth: tuple[float, float], times: int, seed: int) -> float:
    """Return the share of simulated candidates of one kind that the gate promotes."""
    rng = random.Random(seed)
    count = 0
    for _ in range(times):
        pools = {pool: compared(pool, total, truth, rng) for pool, total in TASKS.items()}
        evaluation = Evaluation(
            agent="simulated",
            base_model="none",
            before=None,
            after=None,
            pools=pools,
            trajectories=0,
        )
        count += decide(evaluation).decision == "promote"
    return count / times


def main() -> int:
    """Simulate, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    times, started = 2_000 if args.quick else 20_000, time.monotonic()
    shares = {
        name: promoted(truth, times, seed) for seed, (name, truth) in enumerate(TRUTHS.items())
    }
    figures = {
        "equal_promoted": round(shares["equal"], 4),
        "gain10_promoted": round(shares["gain10"], 4),
        "loss5_stopped": round(1 - shares["loss5"], 4),
    }
    conditions = {
        "simulations": times,
        "tasks": TASKS,
        "solved_before": SOLVED,
        "won_and_lost": TRUTHS,
        "rules": "defaults of [agent.NAME.gate]",
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(figures))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"figures": figures, "conditions": conditions}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
