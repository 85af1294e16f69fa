"""Credit whole runs: every step of a run has the same advantage."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from burnish_trainer.credit.scored_runs import (
    Advantages,
    CreditRun,
    center,
    check_scale,
    group_by_task,
    spread_over_steps,
)


def outcome(runs: Iterable[CreditRun]) -> Advantages:
    """Return the reward itself, A_i = R_i: REINFORCE without a baseline, rejection sampling for rewards of 0 and 1.

    This is the only credit function without a baseline; a group of equal rewards keeps its reward.
    Source: Williams 1992, "Simple statistical gradient-following algorithms", equation 6, with b = 0
    (https://doi.org/10.1007/BF00992696).
    """
    scored = [run for group in group_by_task(runs) for run in group]
    return spread_over_steps(scored, [run.score for run in scored])


def grpo(runs: Iterable[CreditRun], *, scale: str = "group", eps: float = 1e-4) -> Advantages:
    """Return A_i = (R_i - mean_g) / (std_g + eps), over the scored attempts g at a task.

    One attempt has one vote in the mean, whatever its number of steps. Equal to the advantages of TRL's
    `GRPOTrainer` (`multi_objective_aggregation="sum_then_normalize"`), except that equal rewards give exactly 0.
    Source: Shao et al. 2024, DeepSeekMath, section 4.1.2 (https://arxiv.org/abs/2402.03300); `scale="none"` is Dr.
    GRPO, Liu et al. 2025, section 3.2 (https://arxiv.org/abs/2503.20783).

    Args:
        runs: Attempts of any tasks.
        scale: Standard deviation of the `group`, of the `batch`, or `none`.
        eps: Added to the standard deviation.
    """
    check_scale(scale, "group", "batch", "none")
    groups = group_by_task(runs)
    scored = [run for group in groups for run in group]
    rewards = [np.array([run.score for run in group]) for group in groups]
    values = [center(found, scale=scale, eps=eps) for found in rewards]
    if scale == "batch" and len(scored) > 1:
        deviation = np.concatenate(rewards).std(ddof=1) + eps
        values = [found / deviation for found in values]
    return spread_over_steps(scored, np.concatenate([*values, np.zeros(0)]))


def rloo(runs: Iterable[CreditRun]) -> Advantages:
    """Return A_i = R_i - mean of the other attempts = N / (N - 1) (R_i - mean_g).

    Source: Ahmadian et al. 2024, "Back to Basics", RLOO (https://arxiv.org/abs/2402.14740); Kool et al. 2019.
    """
    groups = group_by_task(runs)
    values = [
        center(np.array([run.score for run in group]), scale="none")
        * (len(group) / max(len(group) - 1, 1))
        for group in groups
    ]
    scored = [run for group in groups for run in group]
    return spread_over_steps(scored, np.concatenate([*values, np.zeros(0)]))


def step_wise(
    runs: Iterable[CreditRun],
    *,
    scale: str = "group",
    eps: float = 1e-6,
    per_step: bool = False,
    least_deviation: float = 0.0,
) -> Advantages:
    """Return the group advantage of a run's last step on all its steps, A_{i,t} = A_i, or A_i / T_i.

    Source: Trinity-RFT, `StepWiseGRPOAdvantageFn` (https://github.com/agentscope-ai/Trinity-RFT); Pan et al. 2025
    (https://arxiv.org/abs/2505.17826).

    Args:
        runs: Attempts of any tasks.
        scale: Standard deviation of the `group`, or `none`.
        eps: Added to the standard deviation.
        per_step: Divide by the number of steps, so that long runs weigh as much as short ones.
        least_deviation: Groups whose standard deviation is at most this have no advantage.
    """
    check_scale(scale, "group", "none")
    found: Advantages = {}
    for group in group_by_task(runs):
        rewards = np.array([run.score for run in group])
        values = center(rewards, scale=scale, eps=eps)
        if len(group) > 1 and rewards.std(ddof=1) <= least_deviation:
            values = np.zeros(len(group))
        if per_step:
            values = values / [max(len(run.steps), 1) for run in group]
        found |= spread_over_steps(group, values)
    return found
