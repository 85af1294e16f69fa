"""Compute the losses of supervised training from log-probabilities of single tokens."""

from __future__ import annotations

import torch


def weighted_nll(
    logprobs: torch.Tensor, weights: torch.Tensor, total: torch.Tensor | float | None = None
) -> torch.Tensor:
    """Return the weighted mean of -log p: -sum(w log p) / sum(w).

    With weights of 1 it is the loss of a causal language model. Rejection sampling (RFT, Yuan et al. 2023,
    arXiv 2308.01825; STaR, Zelikman et al. 2022, arXiv 2203.14465) is this loss on the successes among several attempts at
    each task.

    Args:
        logprobs: Log-probabilities (K) of the learned tokens.
        weights: The weight of each.
        total: Divisor; by default the sum of the weights.
    """
    weights = weights.to(logprobs.dtype)
    return -(weights * logprobs).sum() / (weights.sum() if total is None else total)


def dft(
    logprobs: torch.Tensor, weights: torch.Tensor, total: torch.Tensor | float | None = None
) -> torch.Tensor:
    """Return the loss of dynamic fine-tuning: -sum(w p log p) / sum(w), with p kept constant.

    The factor p removes the 1/p by which the likelihood's gradient grows on tokens that the model finds improbable
    (Wu et al. 2025, arXiv 2508.05629; TRL's `loss_type="dft"`).

    Args:
        logprobs: Log-probabilities (K) of the learned tokens.
        weights: The weight of each.
        total: Divisor; by default the sum of the weights.
    """
    weights = weights.to(logprobs.dtype)
    kept = logprobs.detach().exp()
    return -(weights * kept * logprobs).sum() / (weights.sum() if total is None else total)
