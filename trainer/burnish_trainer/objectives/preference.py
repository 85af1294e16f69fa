"""Compute the losses of preference training from log-probabilities of whole replies.

The log-probability of a side is the sum over the tokens that the model wrote; tokens of tools and users count 0. The
reference is the same model without its adapter. On pairs of single replies (the fork of two runs) the same functions are
the step-level form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class PairScores:
    """Log-probabilities of the sides of P pairs.

    Attributes:
        chosen: log p of each chosen side.
        rejected: log p of each rejected side.
        reference_chosen: The same by the reference; zeros for an objective without reference.
        reference_rejected: The same by the reference.
        chosen_tokens: Counted tokens of each chosen side.
        rejected_tokens: Counted tokens of each rejected side.
    """

    chosen: torch.Tensor
    rejected: torch.Tensor
    reference_chosen: torch.Tensor
    reference_rejected: torch.Tensor
    chosen_tokens: torch.Tensor
    rejected_tokens: torch.Tensor

    @property
    def chosen_gain(self) -> torch.Tensor:
        """Return log p - log p_reference of each chosen side."""
        return self.chosen - self.reference_chosen

    @property
    def rejected_gain(self) -> torch.Tensor:
        """Return log p - log p_reference of each rejected side."""
        return self.rejected - self.reference_rejected


def dpo_sigmoid(scores: PairScores, beta: float = 0.1) -> torch.Tensor:
    """Return the loss of direct preference optimisation, the mean of -log sigmoid(beta (r+ - r-)).

    r is log p - log p_reference of a side (Rafailov et al. 2023, arXiv 2305.18290, eq. 7; TRL's "sigmoid").
    """
    return -functional.logsigmoid(beta * (scores.chosen_gain - scores.rejected_gain)).mean()


def dpo_ipo(scores: PairScores, beta: float = 0.1) -> torch.Tensor:
    """Return the loss of identity preference optimisation, the mean of (r+/n+ - r-/n- - 1/(2 beta))^2.

    n is the number of counted tokens of a side (Azar et al. 2023, arXiv 2310.12036, eq. 17, with the mean over tokens as
    in TRL's "ipo").
    """
    chosen = scores.chosen_gain / scores.chosen_tokens.clamp(min=1)
    rejected = scores.rejected_gain / scores.rejected_tokens.clamp(min=1)
    return ((chosen - rejected - 1 / (2 * beta)) ** 2).mean()


def dpo_robust(scores: PairScores, beta: float = 0.1, label_noise: float = 0.1) -> torch.Tensor:
    """Return the unbiased loss for labels of which a share e is wrong.

    The mean of (-(1-e) log sigmoid(d) + e log sigmoid(-d)) / (1-2e), d = beta (r+ - r-) (Chowdhury et al. 2024,
    arXiv 2403.00409; TRL's "robust" with `label_smoothing`).
    """
    margin = beta * (scores.chosen_gain - scores.rejected_gain)
    clean = -(1 - label_noise) * functional.logsigmoid(margin)
    flipped = -label_noise * functional.logsigmoid(-margin)
    return ((clean - flipped) / (1 - 2 * label_noise)).mean()


def dpo_with_sft(scores: PairScores, beta: float = 0.1, sft_weight: float = 1.0) -> torch.Tensor:
    """Return DPO's loss plus the likelihood of the chosen sides: L_DPO - a sum(log p+) / sum(n+).

    The second term keeps the chosen side from losing probability with the rejected one (Pang et al. 2024,
    arXiv 2404.19733; TRL's `loss_type=["sigmoid", "sft"]`).
    """
    likelihood = scores.chosen.sum() / scores.chosen_tokens.sum().clamp(min=1)
    return dpo_sigmoid(scores, beta) - sft_weight * likelihood


PAIR_LOSSES: dict[str, Callable[[PairScores, float], torch.Tensor]] = {
    "sigmoid": dpo_sigmoid,
    "ipo": dpo_ipo,
    "robust": dpo_robust,
    "sft": dpo_with_sft,
}


def orpo(scores: PairScores, beta: float = 0.1) -> torch.Tensor:
    """Return the loss of odds-ratio preference optimisation; it needs no reference. Experimental.

    -sum(log p+) / sum(n+) - mean(beta log sigmoid(log odds(y+) - log odds(y-))), odds = P / (1 - P), where log P is the
    mean over tokens (Hong et al. 2024, arXiv 2403.07691, eqs. 4 to 7; TRL's experimental ORPOTrainer).
    """
    chosen = scores.chosen / scores.chosen_tokens.clamp(min=1)
    rejected = scores.rejected / scores.rejected_tokens.clamp(min=1)
    odds = (chosen - rejected) - (_log1mexp(chosen) - _log1mexp(rejected))
    likelihood = scores.chosen.sum() / scores.chosen_tokens.sum().clamp(min=1)
    return -likelihood - (beta * functional.logsigmoid(odds)).mean()


def _log1mexp(value: torch.Tensor) -> torch.Tensor:
    """Return log(1 - e^x) for x < 0 without loss of precision (Maechler 2012)."""
    near = torch.log(-torch.expm1(value))
    far = torch.log1p(-value.exp())
    return torch.where(value > -0.6931471805599453, near, far)


@dataclass(frozen=True)
class LabelledScores:
    """Log-probabilities of R single replies, each wanted or not.

    Attributes:
        logprobs: log p of each reply.
        reference: The same by the reference.
        wanted: Whether each is desirable.
        mismatched: log p of other replies behind the same contexts, for the estimate of the divergence.
        mismatched_reference: The same by the reference.
    """

    logprobs: torch.Tensor
    reference: torch.Tensor
    wanted: torch.Tensor
    mismatched: torch.Tensor
    mismatched_reference: torch.Tensor


def kto(
    scores: LabelledScores,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> torch.Tensor:
    """Return the loss of Kahneman-Tversky optimisation for replies without partners.

    The mean of w+ (1 - sigmoid(beta (r - z))) over wanted replies and w- (1 - sigmoid(beta (z - r))) over the others;
    r = log p - log p_reference, and z is the mean of r over mismatched replies, at least 0 and kept constant
    (Ethayarajh et al. 2024, arXiv 2402.01306, eqs. 7 and 8; TRL's KTOTrainer).
    """
    divergence = (scores.mismatched - scores.mismatched_reference).mean().clamp(min=0).detach()
    gain = scores.logprobs - scores.reference
    good = desirable_weight * (1 - torch.sigmoid(beta * (gain - divergence)))
    bad = undesirable_weight * (1 - torch.sigmoid(beta * (divergence - gain)))
    return torch.where(scores.wanted, good, bad).mean()
