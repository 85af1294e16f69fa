"""Measure what a verifier's errors cost over eight rounds of training on accepted attempts.

usage: python benchmarks/credit/verification.py [--quick] [--json FILE]

Each round makes 400 attempts with the current policy (traffic 55, 30, 10 and 5 % over four tasks of `_toolchain.py`), a
verifier accepts some, and the policy becomes the mean of the start policy (as 20 calls a state) and of all calls accepted
so far: supervised training on an accumulating set, without noise of optimisation. Figures are success rates, weighted by
traffic, at the end; `rare_*` is the rarest task. `mistake_*`: at the first stage of each task the likeliest tool is poison.

perfect             accepts what succeeded
false_positive_N    accepts, beside that, N % of what failed
claims              accepts what the agent itself takes for done
none                accepts everything
replace             perfect, but each round forgets the attempts before it
balanced            perfect, and each task has the same weight
confidence          accepts the half of the attempts that the policy itself finds likeliest
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from _toolchain import POISON, Chains, ToolChain, softmax

WORLD, START = ToolChain(6, 14), 0.126
TRAFFIC = np.array([0.55, 0.30, 0.10, 0.05])
ROUNDS, ATTEMPTS, PRIOR_CALLS, MISTAKE = 8, 400, 20.0, 0.56
Accept = Callable[[Chains, np.ndarray, np.random.Generator], np.ndarray]


def accept_false_positives(share: float) -> Accept:
    """Return a verifier that accepts successes, and this share of failures."""
    return lambda chains, policy, rng: chains.solved | (rng.random(len(chains.solved)) < share)


def accept_confident(chains: Chains, policy: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Accept the attempts whose mean log-probability is above the median."""
    run, call = chains.calls()
    scores = np.log(policy)[chains.tasks[run], chains.stages[run, call], chains.tools[run, call]]
    sums = np.bincount(run, scores, minlength=len(chains.tasks))
    means = sums / np.bincount(run, minlength=len(chains.tasks))
    return means > np.median(means)


@dataclass(frozen=True)
class Filter:
    """A way of choosing attempts.

    Attributes:
        accept: The verifier.
        forget: Each round starts from an empty set.
        balance: Each task has the same weight in the set.
    """

    accept: Accept
    forget: bool = False
    balance: bool = False


FILTERS = {
    "perfect": Filter(accept_false_positives(0.0)),
    "false_positive_5": Filter(accept_false_positives(0.05)),
    "false_positive_10": Filter(accept_false_positives(0.10)),
    "false_positive_20": Filter(accept_false_positives(0.20)),
    "false_positive_40": Filter(accept_false_positives(0.40)),
    "claims": Filter(lambda chains, policy, rng: chains.claimed),
    "none": Filter(accept_false_positives(1.0)),
    "replace": Filter(accept_false_positives(0.0), forget=True),
    "balanced": Filter(accept_false_positives(0.0), balance=True),
    "confidence": Filter(accept_confident),
}


def start_policy(mistake: bool) -> np.ndarray:
    """Return the chances of the start policy; with a mistake, poison is the likeliest first tool."""
    policy = softmax(WORLD.start_policy(START))
    if mistake:
        others = np.delete(np.arange(policy.shape[-1]), POISON)
        policy[:, 0, others] *= (1 - MISTAKE) / policy[:, 0, others].sum(-1, keepdims=True)
        policy[:, 0, POISON] = MISTAKE
    return policy


def run_rounds(
    chosen: Filter, seed: int, *, mistake: bool = False
) -> tuple[list[float], float, float]:
    """Return success after each round, success at the rarest task, and the chance of the mistake at the end."""
    rng, start = np.random.default_rng(seed), start_policy(mistake)
    policy, counts = start, np.zeros_like(start)
    success = [float(WORLD.success(np.log(policy)) @ TRAFFIC)]
    for _ in range(ROUNDS):
        tasks = rng.choice(len(TRAFFIC), size=ATTEMPTS, p=TRAFFIC)
        chains = WORLD.roll_out(np.log(policy), tasks, rng)
        accepted = chosen.accept(chains, policy, rng)
        counts = np.zeros_like(start) if chosen.forget else counts
        run, call = chains.calls()
        run, call = run[accepted[run]], call[accepted[run]]
        np.add.at(counts, (tasks[run], chains.stages[run, call], chains.tools[run, call]), 1.0)
        weighted = counts * balance_weights(counts) if chosen.balance else counts
        policy = (PRIOR_CALLS * start + weighted) / (PRIOR_CALLS + weighted.sum(-1, keepdims=True))
        success.append(float(WORLD.success(np.log(policy)) @ TRAFFIC))
    return success, float(WORLD.success(np.log(policy))[-1]), float(policy[:, 0, POISON].mean())


def balance_weights(counts: np.ndarray) -> np.ndarray:
    """Return the weight of each task that gives all of them the same number of calls."""
    sums = counts.sum((1, 2), keepdims=True)
    return counts.sum() / len(counts) / np.maximum(sums, 1.0)


def main() -> int:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    started, seeds = time.process_time(), 2 if args.quick else 8
    figures, rounds = {}, {}
    for name, chosen in FILTERS.items():
        found = [run_rounds(chosen, seed) for seed in range(seeds)]
        rounds[name] = np.mean([one[0] for one in found], 0).round(3).tolist()
        figures[name] = rounds[name][-1]
        figures[f"rare_{name}"] = round(float(np.mean([one[1] for one in found])), 3)
        wrong = [run_rounds(chosen, seed, mistake=True) for seed in range(seeds)]
        figures[f"mistake_{name}"] = round(float(np.mean([one[0][-1] for one in wrong])), 3)
        figures[f"mistake_chance_{name}"] = round(float(np.mean([one[2] for one in wrong])), 3)
    conditions = {
        "seeds": seeds,
        "rounds": rounds,
        "attempts_a_round": ATTEMPTS,
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
