"""Measure how many rollouts each credit function needs to reach 80 % success, beside GRPO, at equal step size.

usage: python benchmarks/credit/toolchain.py [--quick] [--json FILE]

The world is that of `_toolchain.py`, in two lengths. An update makes 32 attempts, 8 at each of 4 tasks. The advantages of
its calls are divided by their root mean square, so that no function is faster only because its numbers are larger; then
the table of logits moves by `rate` times the sum of advantage times gradient of log p, over the 32 attempts. The exact
success rate is read after each update.

turn_level, gigpo, ...      rollouts to 80 % over those of GRPO, medians over seeds; the worst of all rates and lengths
*_long                      the same, of the long world alone
final_*                     success after 6,400 rollouts at rate 1 in the long world, mean over seeds
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from _toolchain import ToolChain, softmax

from burnish_trainer.credit import (
    Advantages,
    CreditRun,
    empg,
    fork_relative,
    gigpo,
    grpo,
    mc_step_advantages,
    outcome,
    rloo,
    step_gae,
    turn_level,
)

WORLDS = {"short": (ToolChain(6, 14), 0.061), "long": (ToolChain(12, 30), 0.075)}
ATTEMPTS, REACHED, FINAL = 8, 0.8, 6_400
RATES = {"short": (1.0, 2.0), "long": (1.0, 2.0)}
MAIN = ["grpo", "turn_level", "gigpo", "empg"]  # the others are measured on half the seeds


def without_turn_rewards(runs: list[CreditRun]) -> list[CreditRun]:
    """Return the runs with their outcome as the only reward."""
    return [replace(run, steps=[replace(s, reward=0.0) for s in run.steps]) for run in runs]


class Critic:
    """A table of values by task and stage, learnt from the returns of the attempts."""

    def __init__(self) -> None:
        self._values: dict[object, float] = {}

    def credit(self, runs: list[CreditRun]) -> Advantages:
        """Return generalised advantages, then learn from the outcomes."""
        places = {(run.id, t): (run.task, s.state) for run in runs for t, s in enumerate(run.steps)}
        found = step_gae(
            runs,
            values={key: self._values.get(place, 0.0) for key, place in places.items()},
            gamma=1.0,
            lam=0.95,
        )
        for run in runs:
            for step in run.steps:
                before = self._values.get((run.task, step.state), 0.0)
                self._values[run.task, step.state] = before + 0.05 * (run.score - before)
        return found


@dataclass(frozen=True)
class Method:
    """A credit function, made fresh for each training.

    Attributes:
        make: Returns the function from runs to advantages.
        history: The state is the list of tools so far.
        turns: The function reads the success of each tool.
    """

    make: Callable[[], Callable[[list[CreditRun]], Advantages]]
    history: bool = False
    turns: bool = False


METHODS = {
    "grpo": Method(lambda: grpo),
    "rloo": Method(lambda: rloo),
    "outcome": Method(lambda: outcome),
    "gigpo": Method(lambda: functools.partial(gigpo, least_hits=0.0)),
    "gigpo_history": Method(lambda: functools.partial(gigpo, least_hits=0.0), history=True),
    "turn_level": Method(lambda: functools.partial(turn_level, limit=None), turns=True),
    "turn_level_limited": Method(lambda: turn_level, turns=True),
    "step_gae": Method(lambda: Critic().credit),
    "mc_step_values": Method(lambda: mc_step_advantages),
    "fork_relative": Method(lambda: fork_relative),
    "empg": Method(lambda: empg),
}


def train(name: str, method: str, rate: float, seed: int, most: int) -> tuple[int | None, float]:
    """Train until `most` rollouts, or until 80 % where that is 0.

    Returns:
        Rollouts to 80 %, and the success at the end.
    """
    world, start = WORLDS[name]
    chosen, rng = METHODS[method], np.random.default_rng(seed)
    credit, logits = chosen.make(), world.start_policy(start)
    tasks = np.repeat(np.arange(world.tasks), ATTEMPTS)
    reached, success, made = None, 0.0, 0
    while made < (most or 16_000) and (most or reached is None):
        chains = world.roll_out(logits, tasks, rng)
        runs = chains.as_runs(logits, history=chosen.history)
        advantages = credit(runs if chosen.turns else without_turn_rewards(runs))
        run, call = chains.calls()
        values = [advantages[str(i), t] for i, t in zip(run.tolist(), call.tolist(), strict=True)]
        at = (tasks[run], chains.stages[run, call])
        logits = logits + rate * gradient(logits, at, chains.tools[run, call], np.array(values))
        made += len(tasks)
        success = float(world.success(logits).mean())
        if reached is None and success >= REACHED:
            reached = made
    return reached, success


def gradient(
    logits: np.ndarray, at: tuple[np.ndarray, np.ndarray], tools: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Return the policy gradient of advantages that are scaled to a root mean square of 1."""
    size = np.sqrt((values**2).mean())
    values = values / size if size > 0 else values
    parts = -softmax(logits)[at] * values[:, None]
    parts[np.arange(len(tools)), tools] += values
    found = np.zeros_like(logits)
    np.add.at(found, at, parts)
    return found / (ATTEMPTS * logits.shape[0])


def measure(seeds: int, rates: dict[str, tuple[float, ...]], methods: list[str]) -> dict:
    """Return the median rollouts of each cell, by world, method and rate."""
    table: dict[str, dict[str, dict[float, float]]] = {}
    for name, several in rates.items():
        for method in methods:
            for rate in several:
                count = seeds if method in MAIN else (seeds + 1) // 2
                reached = [train(name, method, rate, seed, 0)[0] for seed in range(count)]
                median = float(np.median([np.inf if one is None else one for one in reached]))
                table.setdefault(name, {}).setdefault(method, {})[rate] = median
    return table


def compare(table: dict) -> dict[str, float]:
    """Return rollouts over those of GRPO: the worst cell of all, and of the long world."""
    figures: dict[str, float] = {}
    for method in table["long"]:
        if method == "grpo":
            continue
        worst = {
            name: max(cells[method][rate] / cells["grpo"][rate] for rate in cells[method])
            for name, cells in table.items()
        }
        figures[method] = round(max(worst.values()), 3)
        figures[f"{method}_long"] = round(worst["long"], 3)
    return figures


def main() -> int:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    started, seeds = time.process_time(), 3 if args.quick else 10
    rates = {"short": (2.0,), "long": (2.0,)} if args.quick else RATES
    methods = MAIN if args.quick else list(METHODS)
    table = measure(seeds, rates, methods)
    figures = compare(table)
    if not args.quick:
        for method in MAIN:
            ends = [train("long", method, 1.0, seed, FINAL)[1] for seed in range(seeds)]
            figures[f"final_{method}"] = round(float(np.mean(ends)), 3)
    conditions = {
        "seeds": seeds,
        "rollouts_an_update": ATTEMPTS * 4,
        "rollouts_to_80_percent": table,
        "numpy": np.__version__,
        "python": sys.version.split()[0],
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    print(json.dumps(figures, indent=1), json.dumps(conditions, indent=1))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"figures": figures, "conditions": conditions}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
