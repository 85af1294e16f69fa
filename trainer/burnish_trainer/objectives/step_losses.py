"""Apply the recipe's objective to the log-probabilities of one optimiser step.

`StepRows` says which counted token belongs to which row, side and example; `step_loss` returns the loss as a function of
the log-probabilities, which is all that the forward passes of `burnish_trainer.tree` need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from burnish_trainer.objectives.preference import (
    PAIR_LOSSES,
    LabelledScores,
    PairScores,
    kto,
    orpo,
)
from burnish_trainer.objectives.supervised import dft, weighted_nll

LINEAR = frozenset({"sft"})
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
    """

    rows: torch.Tensor
    weights: torch.Tensor
    examples: torch.Tensor
    sides: torch.Tensor
    reference: torch.Tensor
    wanted: torch.Tensor

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
    total: torch.Tensor | None = None,
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the loss of one step as a function of the log-probabilities of its counted tokens.

    Args:
        objective: "sft", "dft", "dpo", "kto" or "orpo".
        step: The rows.
        beta: Strength of a preference.
        pair_loss: Form of dpo.
        total: Divisor of the supervised losses; by default the sum of the weights.
    """
    if objective in ("sft", "dft"):
        supervised = weighted_nll if objective == "sft" else dft
        return lambda logprobs: supervised(logprobs, step.token_weights, total)
    if objective == "kto":
        return lambda logprobs: kto(_labelled_scores(step, logprobs), beta)
    if objective == "orpo":
        return lambda logprobs: orpo(pair_scores(step, logprobs), beta)
    form = PAIR_LOSSES[pair_loss]
    return lambda logprobs: form(pair_scores(step, logprobs), beta)


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
