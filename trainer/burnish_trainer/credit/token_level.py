"""Change the advantage of a run by what its tokens show: their entropy, and which of them are a tool call."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from burnish.errors import TrainingError
from burnish_trainer.credit.run_level import grpo
from burnish_trainer.credit.scored_runs import (
    Advantages,
    CreditFunction,
    CreditRun,
    CreditStep,
    center,
    group_by_task,
)


def empg(
    runs: Iterable[CreditRun],
    *,
    base: CreditFunction = grpo,
    k: float = 1.0,
    k_future: float = 1.0,
    zeta: float = 0.1,
    eps: float = 1e-8,
) -> Advantages:
    """Return A_t g(H_t) + zeta f(H_{t+1}), minus its mean over the steps of the batch.

    H_t is the mean token entropy of step t, H its min-max normal form over the batch; g(H) = exp(-k H) / mean exp(-k H),
    f(H) = exp(-k' H); the last step has no bonus. Confident steps (low entropy) are amplified, uncertain ones attenuated.
    The opposite, learning only from tokens of high entropy, is another method: `top_entropy_quantile` of TRL.
    Source: Wang et al. 2025, EMPG, "self-calibrating gradient scaling" and "future clarity bonus"
    (https://arxiv.org/abs/2509.09265).

    Attempts at a task in which every base advantage is 0 are left out of the batch and stay at 0, as dynamic sampling
    leaves them out in the paper's experiments: else the bonus alone would move a policy that solves its tasks.

    Args:
        runs: Attempts of any tasks; each step needs its entropy.
        base: Credit function whose advantages are changed; it gives one number a step.
        k: Strength of the scaling.
        k_future: Decay of the bonus with the entropy of the next step.
        zeta: Weight of the bonus.
        eps: Added to the range of entropies.

    Raises:
        TrainingError: A step has no entropy.
    """
    runs = list(runs)
    advantages = base(runs)
    batch = [group for group in group_by_task(runs) if _any_advantage(group, advantages)]
    keys = [(run.id, t) for group in batch for run in group for t in range(len(run.steps))]
    found: Advantages = dict.fromkeys(advantages, 0.0)
    if not keys:
        return found
    entropies = [
        _entropy(run, t) for group in batch for run in group for t in range(len(run.steps))
    ]
    lowest, spread = min(entropies), max(entropies) - min(entropies) + eps
    normal = {key: (h - lowest) / spread for key, h in zip(keys, entropies, strict=True)}
    scaling = np.exp(-k * np.array([normal[key] for key in keys]))
    scaling /= scaling.mean()
    bonus = [
        np.exp(-k_future * normal[run, t + 1]) if (run, t + 1) in normal else 0.0 for run, t in keys
    ]
    values = np.array([float(advantages[key]) for key in keys]) * scaling + zeta * np.array(bonus)
    found |= dict(zip(keys, map(float, values - values.mean()), strict=True))
    return found


def _any_advantage(group: list[CreditRun], advantages: Advantages) -> bool:
    return any(advantages[run.id, t] != 0 for run in group for t in range(len(run.steps)))


def _entropy(run: CreditRun, place: int) -> float:
    entropy = run.steps[place].entropy
    if entropy is None:
        raise TrainingError(
            f"step {place} of run {run.id!r} has no entropy",
            "the mean entropy of its tokens, recorded or computed again",
        )
    return entropy


def toolpo(
    runs: Iterable[CreditRun],
    *,
    call_ok: Callable[[CreditStep], float | None] | None = None,
    lam: float = 1.0,
) -> Advantages:
    """Return A(token) = A_success + M(token) A_action, with M = 1 on the tokens of tool calls and 0 elsewhere.

    A_success = R - mean_g R. A_action = R_action - mean_g R_action with R_action = lam sum_t C(call_t), where C is 1 for a
    correct call. Attempts with the same outcome but better calls still differ; plain text has no action advantage.
    Source: Li et al. 2025, DeepAgent, ToolPO, "tool-call advantage attribution" (https://arxiv.org/abs/2510.21618),
    without its term for folding memory.

    Args:
        runs: Attempts of any tasks; each step with a call needs its call mask.
        call_ok: Correctness of the calls of a step; by default the step's own. None is a step without a call.
        lam: Weight of correct calls.

    Raises:
        TrainingError: A step with a judged call has no mask of its tool-call tokens.
    """
    correct = call_ok or _own_correctness
    found: Advantages = {}
    for group in group_by_task(runs):
        success = center(np.array([run.score for run in group]), scale="none")
        actions = [lam * sum(correct(step) or 0.0 for step in run.steps) for run in group]
        action = center(np.array(actions), scale="none")
        for run, whole, calls in zip(group, success, action, strict=True):
            for place, step in enumerate(run.steps):
                found[run.id, place] = _token_advantages(
                    run, place, float(whole), 0.0 if correct(step) is None else float(calls)
                )
    return found


def _own_correctness(step: CreditStep) -> float | None:
    return step.call_ok


def _token_advantages(run: CreditRun, place: int, whole: float, calls: float) -> np.ndarray:
    mask = run.steps[place].call_mask
    if mask is None:
        if calls != 0.0:
            raise TrainingError(
                f"step {place} of run {run.id!r} made a call and has no call_mask",
                "for each token of the reply, true if it belongs to the call",
            )
        mask = [False] * run.steps[place].tokens
    return whole + np.asarray(mask, dtype=np.float64) * calls
