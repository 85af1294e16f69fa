"""Credit turns: rewards of single steps, and a critic's values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from burnish.errors import TrainingError
from burnish_trainer.credit.run_level import grpo
from burnish_trainer.credit.scored_runs import (
    Advantages,
    CreditRun,
    CreditStep,
    FloatArray,
    center,
    check_scale,
    group_by_task,
)


def turn_level(
    runs: Iterable[CreditRun],
    *,
    turn_reward: Callable[[CreditStep], float] | None = None,
    coef: float = 1.0,
    scale: str = "group",
    eps: float = 1e-4,
    limit: float | None = 1.0,
) -> Advantages:
    """Return A_{i,k} = A^O_i + coef A^T_{i,k} for all turns but the last, and A^O_i for the last.

    A^O is the group advantage of the run's reward, A^T that of the turn's reward, normalised over all turns but the
    last of the attempts at the task. The last turn, the answer, has no tool result.
    Source: Zeng et al. 2025, MT-GRPO (https://arxiv.org/abs/2505.11821v1), written for two turns. For more
    turns the paper grows a tree of rollouts at each turn; pooling the turns of a group needs no further rollouts.

    Args:
        runs: Attempts of any tasks.
        turn_reward: Reward of a step, such as the success of its tool call; by default its own.
        coef: Weight of the turn's advantage.
        scale: Standard deviation of the `group`, or `none`.
        eps: Added to the standard deviation.
        limit: Largest sum of a run's absolute turn rewards; those of a run above it shrink by one factor, so that
            repeated small successes are not worth more than the outcome. None sets no limit.
    """
    check_scale(scale, "group", "none")
    reward_of = turn_reward or _own_reward
    found = grpo(group := list(runs), scale=scale, eps=eps)
    for attempts in group_by_task(group):
        rewards = [
            _limit_sum(np.array(list(map(reward_of, r.steps[:-1]))), limit) for r in attempts
        ]
        turns = center(np.concatenate([*rewards, np.zeros(0)]), scale=scale, eps=eps)
        keys = [(run.id, turn) for run in attempts for turn in range(len(run.steps) - 1)]
        for key, value in zip(keys, turns, strict=True):
            found[key] = found[key] + coef * float(value)
    return found


def _own_reward(step: CreditStep) -> float:
    return step.reward


def _limit_sum(rewards: FloatArray, limit: float | None) -> FloatArray:
    total = float(np.abs(rewards).sum())
    return rewards if limit is None or total <= limit else rewards * (limit / total)


def step_gae(
    runs: Iterable[CreditRun],
    *,
    values: Mapping[tuple[str, int], float],
    gamma: float = 0.95,
    lam: float = 0.95,
    whiten: bool = False,
) -> Advantages:
    """Return generalised advantages over steps: A_t = sum_l (gamma lam)^l d_{t+l}, d_t = r_t + gamma V_{t+1} - V_t.

    The run's reward comes with its last step, and V after it is 0. A step is one action, however many tokens it has;
    tool results have no step of their own. The values are a critic's, not the group's: equal rewards give 0 only where
    the critic expects them.
    Source: Schulman et al. 2016, equation 16 (https://arxiv.org/abs/1506.02438), over steps as in StepPO
    (https://arxiv.org/abs/2604.18401) and Agent-R1 (https://arxiv.org/abs/2511.14460).

    Args:
        runs: Attempts of any tasks.
        values: The critic's value before each step, by run and step.
        gamma: Discount of a step.
        lam: Weight of longer returns.
        whiten: Subtract the mean over all steps and divide by their deviation; it may change the sign of small
            advantages.

    Raises:
        TrainingError: A step has no value.
    """
    found: dict[tuple[str, int], float] = {}
    for run in (run for group in group_by_task(runs) for run in group):
        ahead = following = 0.0
        for place in range(len(run.steps) - 1, -1, -1):
            if (run.id, place) not in values:
                raise TrainingError(f"no value for step {place} of run {run.id!r}", "one a step")
            reward = run.steps[place].reward + (run.score if place == len(run.steps) - 1 else 0.0)
            value = values[run.id, place]
            ahead = reward + gamma * following - value + gamma * lam * ahead
            found[run.id, place], following = ahead, value
    if not whiten:
        return dict(found)
    white = center(np.array(list(found.values())), eps=1e-8)
    return dict(zip(found, map(float, white), strict=True))
