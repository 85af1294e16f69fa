"""Simulate loops of rollouts, verification and training, and measure where the collapse guard stops them.

usage: python benchmarks/gate/collapse.py [--seeds 8] [--rounds 8] [--json FILE]

Four kinds of tasks get 55, 30, 10 and 5 % of 400 rollouts a round. A task is solved by six right tools in a row, out of
five; the base model chooses each with probability .708, so it solves 12.6 %. The policy of a round has the base as its
prior and is fitted to the rollouts that the training verifier accepted: of all rounds (accumulate), or of the newest
alone (replace). The verifier is perfect, accepts 5 or 20 % of the failures too, or accepts everything (claimed).
A held-out set has 25 tasks of each kind with four attempts.

Figures of each loop: success and rare (success of the rarest kind) after the last round, stopped (share of the seeds
that the guard stops at all), by_round (the last round at which it stopped one).
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from pathlib import Path

from burnish_trainer.evaluation.guards.collapse import check_collapse
from burnish_trainer.evaluation.guards.pass_at_k import mean_pass_at_k
from burnish_trainer.evaluation.guards.round_facts import RoundFacts

TRAFFIC = {"order": 0.55, "refund": 0.30, "address": 0.10, "legal": 0.05}
RARE = "legal"
STEPS, TOOLS, RIGHT = 6, 5, 0.708
PRIOR = 15.0  # rows that the base model is worth
ROLLOUTS, TASKS, ATTEMPTS = 400, 25, 4
LOOPS = {
    "accumulate": (0.0, False),
    "accumulate_fp5": (0.05, False),
    "accumulate_fp20": (0.2, False),
    "claimed": (1.0, False),
    "replace": (0.0, True),
}

Run = tuple[str, tuple[int, ...]]
"""Kind of a task, and the tools that a rollout chose; 0 is the right one at each step."""


class Policy:
    """Chooses a tool at each step of each kind, by the base model's prior and the runs that it learned."""

    def __init__(self, learned: list[Run]) -> None:
        base = [RIGHT, *[(1 - RIGHT) / (TOOLS - 1)] * (TOOLS - 1)]
        self._weights = {
            kind: [[PRIOR * share for share in base] for _ in range(STEPS)] for kind in TRAFFIC
        }
        for kind, tools in learned:
            for step, tool in enumerate(tools):
                self._weights[kind][step][tool] += 1

    def act(self, kind: str, rng: random.Random) -> tuple[int, ...]:
        """Return the tools of one attempt."""
        choices = range(TOOLS)
        return tuple(rng.choices(choices, weights)[0] for weights in self._weights[kind])


def simulate_loop(accepts: float, *, replace: bool, seed: int, rounds: int = 8) -> list[RoundFacts]:
    """Return the facts of each round of a loop, the base model first.

    Args:
        accepts: Share of the failures that the training verifier accepts.
        replace: Learn from the newest rollouts alone.
        seed: Seed of all choices.
        rounds: Number of rounds.
    """
    rng = random.Random(seed)
    learned: list[Run] = []
    collected: Counter[str] = Counter()
    policy = Policy([])
    facts = [_measure(policy, Counter(), Counter(), accepts, rng)]
    for _ in range(rounds):
        kinds = rng.choices(list(TRAFFIC), list(TRAFFIC.values()), k=ROLLOUTS)
        runs = [(kind, policy.act(kind, rng)) for kind in kinds]
        accepted = [run for run in runs if _solved(run[1]) or rng.random() < accepts]
        learned = accepted if replace else learned + accepted
        collected.update(kind for kind, _ in accepted)
        policy = Policy(learned)
        used = Counter(kind for kind, _ in learned)
        facts.append(_measure(policy, used, collected, accepts, rng))
    return facts


def find_stop(facts: list[RoundFacts]) -> int | None:
    """Return the first round at which the guard rejects, from 1; None if it lets the loop run."""
    for number in range(1, len(facts)):
        found = check_collapse(facts[: number + 1])
        if any(one.severity == "reject" for one in found):
            return number
    return None


def _solved(tools: tuple[int, ...]) -> bool:
    return not any(tools)


def _measure(
    policy: Policy, used: Counter[str], collected: Counter[str], accepts: float, rng: random.Random
) -> RoundFacts:
    runs = {
        (kind, task): [policy.act(kind, rng) for _ in range(ATTEMPTS)]
        for kind in TRAFFIC
        for task in range(TASKS)
    }
    solved = {key: [_solved(tools) for tools in several] for key, several in runs.items()}
    kinds = {
        kind: (sum(sum(s) for (k, _), s in solved.items() if k == kind), TASKS * ATTEMPTS)
        for kind in TRAFFIC
    }
    every = [one for several in solved.values() for one in several]
    wrong = sum(not one and rng.random() < accepts for one in every)
    return RoundFacts(
        tasks_sha256="simulated",
        success=(sum(every), len(every)),
        kinds=kinds,
        pass_at={str(k): mean_pass_at_k(solved.values(), k) for k in (1, 2, 4)},
        runs=len(every),
        actions=len({(*key, step, tool) for key, several in runs.items() for tools in several
                     for step, tool in enumerate(tools)}),
        sequences=len({(*key, tools) for key, several in runs.items() for tools in several}),
        used=dict(used),
        collected=dict(collected),
        sources={"rollout": used.total()},
        teacher=(wrong, wrong + sum(every)),
    )  # fmt: skip


def main() -> None:
    """Run all loops and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures: dict[str, float] = {}
    for name, (accepts, replace) in LOOPS.items():
        loops = [
            simulate_loop(accepts, replace=replace, seed=seed, rounds=given.rounds)
            for seed in range(given.seeds)
        ]
        stops = [find_stop(facts) for facts in loops]
        last = [facts[-1] for facts in loops]
        figures |= {
            f"{name}_success": round(
                sum(sum(f.kinds[k][0] / f.kinds[k][1] * TRAFFIC[k] for k in TRAFFIC) for f in last)
                / len(last),
                3,
            ),
            f"{name}_rare": round(
                sum(f.kinds[RARE][0] / f.kinds[RARE][1] for f in last) / len(last), 3
            ),
            f"{name}_stopped": sum(stop is not None for stop in stops) / len(stops),
            f"{name}_by_round": max((stop for stop in stops if stop is not None), default=0),
        }
    for figure, value in figures.items():
        print(f"{figure:28} {value}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
