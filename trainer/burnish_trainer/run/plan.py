"""Define the plan of one training run: everything that decides its bytes, and its estimated cost.

Two runs with the same plan give the same adapter, bit for bit, on the same machine. The plan's id is a hash over all
that decides the result; the estimate is excluded.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import random
from collections.abc import Sequence
from typing import Any

import msgspec

from burnish.journal.events import canonical
from burnish.records import Record
from burnish_trainer.recipes.train_recipe import TrainRecipe
from burnish_trainer.tree.planner import ExecutionPlan

_WINDOW = 4  # batches whose sequences are sorted by length together
_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "burnish")


class TrainPlan(Record, frozen=True, kw_only=True):
    """The work of a run; stored as plan.json."""

    id: str
    objective: str
    base_model: str
    base_sha256: str
    dataset: str
    rows_sha256: str
    recipe: dict[str, Any]
    parents: list[str]
    versions: dict[str, str]
    steps: int
    rows: dict[str, Any]  # the row report
    execution: dict[str, Any] = msgspec.field(default_factory=dict)  # how a step is computed
    estimate: dict[str, float] = msgspec.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return msgspec.to_builtins(self)


def make_plan(
    recipe: TrainRecipe,
    *,
    base: tuple[str, str],
    dataset: tuple[str, str],
    rows: dict[str, Any],
    examples: int,
    execution: ExecutionPlan,
) -> TrainPlan:
    """Return the plan of a run.

    Args:
        recipe: The settings.
        base: Name and hash of the base model.
        dataset: Id of the dataset version and hash of its token rows.
        rows: The row report.
        examples: Examples of one epoch.
        execution: How a step is computed; it decides the bytes where a trie is used.
    """
    deciding: dict[str, Any] = {
        "objective": recipe.objective,
        "base_sha256": base[1],
        "dataset": dataset[0],
        "rows_sha256": dataset[1],
        "recipe": msgspec.to_builtins(recipe),
        "parents": [recipe.init_adapter] if recipe.init_adapter else [],
        "versions": package_versions(),
        "steps": math.ceil(examples * recipe.epochs / recipe.batch_size),
    }
    if execution.shares:
        deciding["execution"] = execution.as_dict()
    digest = hashlib.sha256(canonical(deciding)).hexdigest()
    planned: dict[str, Any] = {"execution": execution.as_dict(), **deciding}
    return TrainPlan(id=f"train-{digest[:12]}", base_model=base[0], rows=rows, **planned)


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that affect the result."""
    found: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def plan_order(lengths: Sequence[int], recipe: TrainRecipe) -> list[int]:
    """Return the indices of the sequences in the order of training, over all epochs.

    Each epoch is shuffled. Then sequences of similar length are put next to each other within a
    window of a few batches, and the batches of a window are shuffled, so that padding is small and
    batches are mixed.
    """
    count, batch = len(lengths), recipe.batch_size
    order: list[int] = []
    for epoch in range(math.ceil(recipe.epochs)):
        rng = random.Random(f"{recipe.seed}/{epoch}")  # noqa: S311 - an order, no secret
        drawn = rng.sample(range(count), count)
        for start in range(0, count, batch * _WINDOW):
            window = sorted(drawn[start : start + batch * _WINDOW], key=lambda i: lengths[i])
            batches = [window[i : i + batch] for i in range(0, len(window), batch)]
            rng.shuffle(batches)
            order += [index for one in batches for index in one]
    return order[: math.ceil(count * recipe.epochs)]
