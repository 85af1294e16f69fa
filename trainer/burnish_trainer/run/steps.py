"""Arrange the examples of a run: order, execution, reference, and the table that the trainer reads.

`arrange_steps` is the entry; the plan of the run records its result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from burnish_trainer.objectives.step_losses import REFERENCE
from burnish_trainer.recipes.train_recipe import TrainRecipe
from burnish_trainer.rows.examples import TrainExample
from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.run.plan import plan_order
from burnish_trainer.tree.planner import ExecutionPlan, order_by_prefix, plan_execution
from burnish_trainer.tree.prefix_trie import Ints


@dataclass(frozen=True)
class RunSteps:
    """The work of a run in its order.

    Attributes:
        order: Indices of the examples over all epochs.
        execution: How the rows of a step are computed.
    """

    order: list[int]
    execution: ExecutionPlan


def arrange_steps(examples: Sequence[TrainExample], recipe: TrainRecipe) -> RunSteps:
    """Return the order of the examples and how a step is computed.

    Where sharing does not pay, rows are ordered by length, so that padding is small.
    """
    rows = [[np.asarray(row.input_ids, np.int64) for row in example.rows] for example in examples]
    firsts = [some[0] for some in rows]
    order = order_by_prefix(firsts, recipe.batch_size, recipe.epochs, recipe.seed)
    execution = _plan_steps(rows, order, recipe)
    if recipe.dropout and recipe.prefix_sharing == "auto":
        reason = "dropout draws a mask for each copy of a prefix"
        execution = dataclasses.replace(execution, kind="rows", reason=reason)
    if not execution.shares:
        lengths = [len(first) for first in firsts]
        return RunSteps(plan_order(lengths, recipe), execution)
    return RunSteps(order, execution)


def _plan_steps(
    rows: Sequence[Sequence[Ints]], order: Sequence[int], recipe: TrainRecipe
) -> ExecutionPlan:
    """Plan over the rows of each step, several of one example included."""
    starts = np.cumsum([0, *map(len, rows)])
    flat = [row for some in rows for row in some]
    size = recipe.batch_size
    steps = [
        [place for i in order[at : at + size] for place in range(starts[i], starts[i + 1])]
        for at in range(0, len(order), size)
    ]
    return plan_execution(flat, steps, wish=recipe.prefix_sharing, token_budget=recipe.token_budget)


def first_rows(examples: Sequence[TrainExample], steps: RunSteps, size: int) -> list[Ints]:
    """Return the rows of the first step, on which the execution is checked."""
    return [
        np.asarray(row.input_ids, np.int64)
        for index in steps.order[:size]
        for row in examples[index].rows
    ]


@torch.no_grad()
def reference_logprobs(
    model: Any, examples: Sequence[TrainExample], steps: RunSteps, recipe: TrainRecipe
) -> list[list[float]]:
    """Return the log-probability of each row of each example by the model as it is now; 0 where no reference is needed.

    A fresh adapter changes nothing yet, so its reference is the base model; a continued one is its own reference.
    """
    from burnish_trainer.tree.tree_batch import compute_logprobs, make_batch

    if recipe.objective not in REFERENCE:
        return [[0.0] * len(example.rows) for example in examples]
    kind = steps.execution.kind
    model.eval()
    found: list[list[float]] = [[0.0] * len(example.rows) for example in examples]
    ordered = list(dict.fromkeys(steps.order))
    for at in range(0, len(ordered), recipe.batch_size):
        some = ordered[at : at + recipe.batch_size]
        rows = [row for index in some for row in examples[index].rows]
        counted = [np.asarray(row.labels) != IGNORE for row in rows]
        batch = make_batch(
            [row.input_ids for row in rows],
            counted,
            recipe.token_budget,
            single=not steps.execution.shares,
        )
        sums = _sum_by_row(compute_logprobs(model, batch, kind), counted)
        for index in some:
            found[index] = [sums.pop(0) for _ in examples[index].rows]
    model.train()
    return found


def _sum_by_row(logprobs: torch.Tensor, counted: Sequence[Any]) -> list[float]:
    sizes = [int(mask[1:].sum()) for mask in counted]
    return [float(part.double().sum()) for part in logprobs.split(sizes)]


def make_table(
    examples: Sequence[TrainExample], reference: Sequence[Sequence[float]]
) -> dict[str, list[Any]]:
    """Return the columns that `ExampleCollator` reads."""
    return {
        "input_ids": [[row.input_ids for row in example.rows] for example in examples],
        "labels": [[row.labels for row in example.rows] for example in examples],
        "weights": [[row.weight for row in example.rows] for example in examples],
        "sides": [list(example.sides) for example in examples],
        "reference": [list(values) for values in reference],
        "wanted": [example.wanted for example in examples],
    }
