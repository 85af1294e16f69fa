"""Apply the recipe's objective to the log-probabilities of one optimiser step.

`StepRows` says which counted token belongs to which row, side and example; `step_loss` returns the loss as a function of
the log-probabilities, which is all that the forward passes of `burnish_trainer.tree` need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from burnish_trainer.objectives.policy_gradient import LoggedTokens, policy_gradient
from burnish_trainer.objectives.preference import (
    PAIR_LOSSES,
    LabelledScores,
    PairScores,
    kto,
    orpo,
)
from burnish_trainer.objectives.supervised import dft, weighted_nll

IMITATION = frozenset({"sft", "rejection"})
LINEAR = IMITATION
"""Objectives whose loss is linear in log-probabilities."""
REFERENCE = frozenset({"dpo", "kto"})
"""Objectives that compare with the model at the start of the training."""
_SIDES = 3


@dataclass(frozen=True)
class StepRows:
    """The counted tokens of one step.

    Attributes:
        rows: The row of each counted token (K).
        weights: The weight of each row (R).
        examples: The example of each row.
        sides: The side of each row: 0 chosen, 1 rejected, 2 mismatched.
        reference: The reference's log-probability of each row.
        wanted: For each example, whether it is a success (E).
        advantages: For each example, its advantage (E); None unless the objective is policy gradient.
        logged: log p of each counted token when it was sampled (K), NaN where it is unknown; None likewise.
    """

    rows: torch.Tensor
    weights: torch.Tensor
    examples: torch.Tensor
    sides: torch.Tensor
    reference: torch.Tensor
    wanted: torch.Tensor
    advantages: torch.Tensor | None = None
    logged: torch.Tensor | None = None

    @property
    def token_weights(self) -> torch.Tensor:
        """Return the weight of each counted token."""
        return self.weights[self.rows]

    def sum_rows(self, logprobs: torch.Tensor) -> torch.Tensor:
        """Return the log-probability of each row."""
        return logprobs.new_zeros(len(self.weights)).index_add(0, self.rows, logprobs)

    def sum_sides(self, of_rows: torch.Tensor) -> torch.Tensor:
        """Return the sum over rows for each side of each example (3, E)."""
        places = self.sides * len(self.wanted) + self.examples
        flat = of_rows.new_zeros(_SIDES * len(self.wanted)).index_add(0, places, of_rows)
        return flat.view(_SIDES, -1)


def step_loss(
    objective: str,
    step: StepRows,
    *,
    beta: float,
    pair_loss: str = "sigmoid",
    clip: float = 0.2,
    total: torch.Tensor | None = None,
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the loss of one step as a function of the log-probabilities of its counted tokens.

    Args:
        objective: An objective of the recipe.
        step: The rows.
        beta: Strength of a preference.
        pair_loss: Form of dpo.
        clip: How far policy_gradient lets a ratio move from 1.
        total: Divisor of the losses over single tokens; by default the sum of the weights.
    """
    if objective in IMITATION or objective == "dft":
        supervised = dft if objective == "dft" else weighted_nll
        return lambda logprobs: supervised(logprobs, step.token_weights, total)
    if objective == "policy_gradient":
        tokens = logged_tokens(step)
        return lambda logprobs: policy_gradient(logprobs, tokens, (clip, clip), total)
    if objective == "kto":
        return lambda logprobs: kto(_labelled_scores(step, logprobs), beta)
    if objective == "orpo":
        return lambda logprobs: orpo(pair_scores(step, logprobs), beta)
    form = PAIR_LOSSES[pair_loss]
    return lambda logprobs: form(pair_scores(step, logprobs), beta)


def logged_tokens(step: StepRows) -> LoggedTokens:
    """Return advantage and logged log-probability of each counted token; its row is its example."""
    owners = step.examples[step.rows]
    if step.advantages is None:
        raise AssertionError("the collator gives each example its advantage")
    return LoggedTokens(step.advantages[owners], owners, step.logged)


def pair_scores(step: StepRows, logprobs: torch.Tensor) -> PairScores:
    """Return the scores of the sides of pairs."""
    sums = step.sum_sides(step.sum_rows(logprobs))
    known = step.sum_sides(step.reference.to(logprobs.dtype))
    counts = step.sum_sides(step.sum_rows(torch.ones_like(logprobs)))
    return PairScores(sums[0], sums[1], known[0], known[1], counts[0], counts[1])


def _labelled_scores(step: StepRows, logprobs: torch.Tensor) -> LabelledScores:
    sums = step.sum_sides(step.sum_rows(logprobs))
    known = step.sum_sides(step.reference.to(logprobs.dtype))
    return LabelledScores(sums[0], known[0], step.wanted, sums[2].detach(), known[2])
