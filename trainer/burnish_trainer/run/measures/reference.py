"""Measure the examples of a run by the model as it is before the first step.

`reference_logprobs` gives what preferences compare with, `measure_age` how far logged runs are from this model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from burnish_trainer.objectives.policy_gradient import (
    LoggedTokens,
    effective_sample_share,
    refuse_stale_runs,
)
from burnish_trainer.objectives.step_losses import REFERENCE
from burnish_trainer.recipes.train_recipe import TrainRecipe
from burnish_trainer.rows.examples import TrainExample
from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.rows.token_rows import TokenRow
from burnish_trainer.run.steps import RunSteps, logged_of
from burnish_trainer.tree.tree_batch import compute_logprobs, make_batch


class _RowLogprobs(NamedTuple):
    """Log-probabilities of the counted tokens of one row, and the tokens that they belong to."""

    example: int
    row: TokenRow
    counted: torch.Tensor
    logprobs: torch.Tensor


def _measure_rows(
    model: Any, examples: Sequence[TrainExample], steps: RunSteps, recipe: TrainRecipe
) -> Iterator[_RowLogprobs]:
    """Yield the rows of all examples in the order of training, each example once."""
    ordered = list(dict.fromkeys(steps.order))
    for at in range(0, len(ordered), recipe.batch_size):
        some = [(i, row) for i in ordered[at : at + recipe.batch_size] for row in examples[i].rows]
        counted = [np.asarray(row.labels) != IGNORE for _, row in some]
        batch = make_batch(
            [row.input_ids for _, row in some],
            counted,
            recipe.token_budget,
            single=not steps.execution.shares,
        )
        found = compute_logprobs(model, batch, steps.execution.kind).cpu()
        parts = found.split([int(mask[1:].sum()) for mask in counted])
        for (example, row), mask, part in zip(some, counted, parts, strict=True):
            yield _RowLogprobs(example, row, torch.from_numpy(mask), part)


@torch.no_grad()
def reference_logprobs(
    model: Any, examples: Sequence[TrainExample], steps: RunSteps, recipe: TrainRecipe
) -> list[list[float]]:
    """Return the log-probability of each row of each example by the model as it is now; 0 where no reference is needed.

    A fresh adapter changes nothing yet, so its reference is the base model; a continued one is its own reference.
    """
    if recipe.objective not in REFERENCE:
        return [[0.0] * len(example.rows) for example in examples]
    model.eval()
    found: list[list[float]] = [[] for _ in examples]
    for one in _measure_rows(model, examples, steps, recipe):
        found[one.example].append(float(one.logprobs.double().sum()))
    model.train()
    return found


@torch.no_grad()
def measure_age(
    model: Any, examples: Sequence[TrainExample], steps: RunSteps, recipe: TrainRecipe
) -> float | None:
    """Return the share of effective samples of logged runs for the model as it is now; None without log-probabilities.

    Raises:
        TrainingError: The model is far from the policy that wrote the runs, and the recipe refuses such runs.
    """
    model.eval()
    found = [one for one in _measure_rows(model, examples, steps, recipe) if one.row.logged]
    model.train()
    if not found:
        return None
    logged = [torch.tensor(logged_of(one.row))[1:][one.counted[1:]] for one in found]
    owners = [torch.full((len(one.logprobs),), one.example) for one in found]
    tokens = LoggedTokens(torch.zeros(0), torch.cat(owners), torch.cat(logged))
    measure = refuse_stale_runs if recipe.refuse_stale else effective_sample_share
    return measure(torch.cat([one.logprobs for one in found]), tokens)
