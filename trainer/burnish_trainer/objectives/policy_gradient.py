"""Compute the loss of policy gradient on logged runs, and refuse runs of a policy that has moved too far.

Advantages come from outside, one number for each token that the model wrote (`burnish_trainer.credit`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from burnish.errors import TrainingError

STALE = 0.3
"""Share of effective samples below which logged runs count as too old."""


@dataclass(frozen=True)
class LoggedTokens:
    """Tokens of logged runs.

    Attributes:
        advantages: The advantage of each token (K).
        rows: The row of each token.
        logged: log p of each token when it was sampled, NaN where it is unknown; None where the server recorded none.
    """

    advantages: torch.Tensor
    rows: torch.Tensor
    logged: torch.Tensor | None = None


def policy_gradient(
    logprobs: torch.Tensor,
    tokens: LoggedTokens,
    clip: tuple[float, float] = (0.2, 0.2),
    total: torch.Tensor | float | None = None,
) -> torch.Tensor:
    """Return the policy-gradient loss of logged tokens.

    With logged log-probabilities it is the clipped surrogate -sum(min(q A, clip(q, 1-e, 1+e') A)) / K with
    q = p / p_logged (Schulman et al. 2017, arXiv 1707.06347, eq. 7, per token and divided by all tokens as in DAPO,
    arXiv 2503.14476). Without them it is REINFORCE, -sum(A log p) / K (Williams 1992); a single token without one has the
    gradient of REINFORCE, at a ratio of 1.

    Args:
        logprobs: Log-probabilities (K) of the tokens by the model in training.
        tokens: Advantages and logged log-probabilities.
        clip: How far the ratio may fall and rise.
        total: Divisor; by default the number of tokens.
    """
    count = max(1, logprobs.numel()) if total is None else total
    advantages = tokens.advantages.to(logprobs.dtype)
    if tokens.logged is None:
        return -(advantages * logprobs).sum() / count
    logged = tokens.logged.to(logprobs.dtype)
    logged = torch.where(logged.isnan(), logprobs.detach(), logged)
    ratio = (logprobs - logged).exp()
    clipped = ratio.clamp(1 - clip[0], 1 + clip[1])
    return -torch.minimum(ratio * advantages, clipped * advantages).sum() / count


def effective_sample_share(logprobs: torch.Tensor, tokens: LoggedTokens) -> float:
    """Return the effective sample size of the rows for the current model, divided by their number.

    (sum v)^2 / (N sum v^2), with v the ratio p / p_logged of a whole row (Kong 1992). It is 1 for runs of the model
    itself and 1/N where one row outweighs all others.

    Raises:
        TrainingError: The runs hold no logged log-probabilities.
    """
    if tokens.logged is None:
        raise TrainingError(
            "the logged runs hold no log-probabilities, so their age cannot be measured",
            "runs whose server recorded the log-probability of each sampled token",
            "serve with logprobs, or train with refuse_stale = false",
        )
    if logprobs.numel() == 0:
        return 1.0
    moved = (logprobs.detach().double() - tokens.logged.double()).nan_to_num(0.0)
    _, rows = torch.unique(tokens.rows.to(moved.device), return_inverse=True)
    count = int(rows.max()) + 1
    sums = torch.zeros(count, dtype=torch.float64, device=moved.device).index_add(0, rows, moved)
    share = torch.softmax(sums, 0)
    return float(1 / (share.square().sum() * count))


def refuse_stale_runs(logprobs: torch.Tensor, tokens: LoggedTokens, least: float = STALE) -> float:
    """Return the share of effective samples.

    Raises:
        TrainingError: It is below `least`: the model has moved away from the policy that wrote the runs.
    """
    share = effective_sample_share(logprobs, tokens)
    if share < least:
        raise TrainingError(
            f"the effective sample size of the logged runs is {share:.1%} of their number",
            f"at least {least:.0%}: runs of a policy near the model in training",
            "collect runs with the current adapter, or train with refuse_stale = false",
        )
    return share
