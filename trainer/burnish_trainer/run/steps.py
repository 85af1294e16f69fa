"""Arrange the examples of a run: order, execution, reference, and the table that the trainer reads.

`arrange_steps` is the entry; the plan of the run records its result.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish_trainer.recipes.train_recipe import TrainRecipe
from burnish_trainer.rows.examples import TrainExample
from burnish_trainer.rows.token_rows import TokenRow
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


def make_table(
    examples: Sequence[TrainExample], reference: Sequence[Sequence[float]]
) -> dict[str, list[Any]]:
    """Return the columns that `ExampleCollator` reads."""
    table: dict[str, list[Any]] = {
        "input_ids": [[row.input_ids for row in example.rows] for example in examples],
        "labels": [[row.labels for row in example.rows] for example in examples],
        "weights": [[row.weight for row in example.rows] for example in examples],
        "sides": [list(example.sides) for example in examples],
        "reference": [list(values) for values in reference],
        "wanted": [example.wanted for example in examples],
    }
    if any(example.advantage for example in examples):
        table["advantage"] = [example.advantage for example in examples]
        table["logged"] = [[logged_of(row) for row in example.rows] for example in examples]
    return table


def logged_of(row: TokenRow) -> list[float]:
    """Return the logged log-probability of each token; NaN where it is unknown."""
    return list(row.logged) or [math.nan] * len(row.input_ids)
