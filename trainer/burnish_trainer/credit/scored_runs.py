"""Define runs with rewards as credit functions read them, and what all of these functions share.

`CreditRun` and `CreditStep` hold numbers and keys only: no messages, no tokens. `runs_from_rows` reads
them from rows of the format `rl-steps`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.errors import TrainingError

FloatArray = NDArray[np.float64]
StepAdvantage = float | FloatArray
"""One number for all tokens of a step, or one for each of them."""
Advantages = dict[tuple[str, int], StepAdvantage]
"""Advantage by run and step; steps of an unscored run have no entry."""
CreditFunction = Callable[..., Advantages]
"""A pure function from runs, and settings by keyword, to advantages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditStep:
    """One model call of a run.

    Attributes:
        reward: Reward of this step alone, without the run's reward.
        state: Key of the environment's state before the step; None joins no group of equal states.
        action: Key of what the step did; steps with equal state and action are the same decision.
        entropy: Mean entropy of its sampled tokens, in nats.
        call_ok: Correctness of its tool calls: 1 for a correct call, 0 for a wrong one, a sum for several; None
            without a call.
        call_mask: For each token of the reply, true if it belongs to a tool call.
        tokens: Number of sampled tokens.
    """

    reward: float = 0.0
    state: Hashable = None
    action: Hashable = None
    entropy: float | None = None
    call_ok: float | None = None
    call_mask: Sequence[bool] | None = None
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditRun:
    """One attempt at a task.

    Attributes:
        id: Id of the attempt, unique among the runs of a call.
        task: The task; attempts at the same task form a group.
        reward: Reward of the whole attempt. None, or NaN, means that the attempt is not scored: it enters no
            baseline and receives no advantage.
        steps: Its model calls, in order.
    """

    id: str
    task: Hashable
    reward: float | None
    steps: Sequence[CreditStep] = field(default_factory=tuple)

    @property
    def scored(self) -> bool:
        """Return true if the attempt has a reward."""
        return self.reward is not None and not math.isnan(self.reward)

    @property
    def score(self) -> float:
        """Return the reward of a scored attempt."""
        if self.reward is None:
            raise AssertionError("only scored attempts are asked for their reward")
        return float(self.reward)


def group_by_task(runs: Iterable[CreditRun]) -> list[list[CreditRun]]:
    """Return the scored runs by task, in the order of their first attempts.

    Raises:
        TrainingError: Two runs have the same id, or a reward is infinite.
    """
    groups: dict[Hashable, list[CreditRun]] = defaultdict(list)
    seen: set[str] = set()
    for run in runs:
        if run.id in seen:
            raise TrainingError(f"two runs have the id {run.id!r}", "an id for each run")
        seen.add(run.id)
        if run.scored:
            if math.isinf(run.score):
                raise TrainingError(
                    f"run {run.id!r} has the reward {run.score}", "a finite number, or None"
                )
            groups[run.task].append(run)
    return list(groups.values())


def center(values: FloatArray, *, scale: str = "group", eps: float = 1e-4) -> FloatArray:
    """Return values minus their mean, by default divided by their standard deviation (n - 1) plus `eps`.

    One value, or equal values, give exactly 0: a difference between equal numbers is a rounding error, and dividing
    it by `eps` would turn it into an advantage.
    """
    if len(values) < 2 or values.min() == values.max():
        return np.zeros(len(values))
    centered = values - values.mean()
    return centered / (values.std(ddof=1) + eps) if scale == "group" else centered


def check_scale(scale: str, *allowed: str) -> None:
    """Refuse an unknown way of scaling.

    Raises:
        TrainingError: It is not one of the allowed ones.
    """
    if scale not in allowed:
        raise TrainingError(f"scale {scale!r}", "one of " + ", ".join(allowed))


def spread_over_steps(runs: Iterable[CreditRun], values: Iterable[float]) -> Advantages:
    """Return the advantages in which each step of a run has the value of the run."""
    return {
        (run.id, step): float(value)
        for run, value in zip(runs, values, strict=True)
        for step in range(len(run.steps))
    }


def spread_over_tokens(run: CreditRun, advantages: Advantages) -> list[FloatArray]:
    """Return the advantage of each token, by step of the run; zeros for an unscored run.

    Raises:
        TrainingError: A step has advantages for another number of tokens than it has.
    """
    spread: list[FloatArray] = []
    for place, step in enumerate(run.steps):
        value = np.asarray(advantages.get((run.id, place), 0.0), dtype=np.float64)
        if value.ndim and len(value) != step.tokens:
            raise TrainingError(
                f"step {place} of run {run.id!r} has {len(value)} advantages and {step.tokens} tokens",
                "one for each token",
            )
        spread.append(np.broadcast_to(value, step.tokens).copy())
    return spread


def returns_to_go(run: CreditRun, gamma: float) -> FloatArray:
    """Return the discounted sum of rewards from each step to the end; the run's reward comes with the last step."""
    rewards = [step.reward for step in run.steps]
    rewards[-1] += run.score
    found = np.zeros(len(rewards))
    ahead = 0.0
    for place in range(len(rewards) - 1, -1, -1):
        found[place] = ahead = rewards[place] + gamma * ahead
    return found


def runs_from_rows(rows: Iterable[dict[str, Any]]) -> list[CreditRun]:
    """Return the runs of rows in the format `rl-steps`.

    A step's place in its run is its place among the rows of the run. The state key is that of the format: task and
    actions so far. Rows without a reward, or with NaN, make unscored runs.

    Args:
        rows: One row a model call.
    """
    steps: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        steps[row["run"]].append(row)
    runs: list[CreditRun] = []
    for name, found in steps.items():
        found.sort(key=lambda row: row["step"])
        runs.append(
            CreditRun(
                id=name,
                task=found[0]["group"],
                reward=found[0]["reward"],
                steps=[
                    CreditStep(
                        state=row["state_key"],
                        action=found[place + 1]["state_key"] if place + 1 < len(found) else None,
                        tokens=len(row["response_ids"]),
                    )
                    for place, row in enumerate(found)
                ],
            )
        )
    return runs
