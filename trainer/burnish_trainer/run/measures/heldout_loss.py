"""Watch a training by the loss of held-out rows: stop it where that loss no longer falls, and publish its best state.

The rows are the split "heldout" of the dataset version; a version without one trains all its epochs. transformers'
`EarlyStoppingCallback` counts the evaluations, and its trainer loads the best checkpoint at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from transformers import EarlyStoppingCallback

from burnish.errors import EmptyDataset
from burnish_trainer.objectives.step_losses import IMITATION
from burnish_trainer.recipes.train_recipe import TrainRecipe
from burnish_trainer.rows.examples import Dataset, Row, Tokenise, TrainExample, make_examples

_MOST = 200
"""Held-out examples that are measured; more would take a large share of the training's time."""
_MEASURED = (*IMITATION, "dpo", "orpo", "kto")


class _HeldoutSplit:
    """The held-out rows of a dataset version, in place of its training rows."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.id = dataset.id

    def rows(self, split: str = "train") -> Iterable[Row]:
        """Return the rows of a held-out split."""
        return self._dataset.rows(split.replace("train", "heldout"))


def make_heldout_examples(
    dataset: Dataset, recipe: TrainRecipe, tokenise: Tokenise
) -> list[TrainExample]:
    """Return the examples that a training is watched by, evenly drawn; none if it is not watched.

    Args:
        dataset: A dataset version.
        recipe: Objective and patience.
        tokenise: Turns dataset rows into sequences.
    """
    watched = recipe.patience and recipe.checkpoints and recipe.objective in _MEASURED
    if not watched or next(iter(dataset.rows("heldout")), None) is None:
        return []
    try:
        found, _ = make_examples(_HeldoutSplit(dataset), recipe, tokenise)
    except EmptyDataset:  # such as held-out successes without failures to compare with
        return []
    step = max(1.0, len(found) / _MOST)
    return [found[int(place * step)] for place in range(min(len(found), _MOST))]


def watch_heldout_loss(recipe: TrainRecipe) -> EarlyStoppingCallback:
    """Return the callback that ends a training whose held-out loss no longer falls."""
    return EarlyStoppingCallback(early_stopping_patience=recipe.patience)


def has_stopped(checkpoint: Path, recipe: TrainRecipe) -> bool:
    """Report if a training ended at this checkpoint because the held-out loss no longer fell.

    Args:
        checkpoint: A whole checkpoint.
        recipe: The settings of the run.
    """
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    known = state.get("stateful_callbacks", {}).get(EarlyStoppingCallback.__name__, {})
    failed = known.get("attributes", {}).get("early_stopping_patience_counter", 0)
    return failed >= recipe.patience > 0


def summarise_heldout(lines: Sequence[dict[str, Any]], steps: int) -> dict[str, float]:
    """Return the best held-out loss, its step, and its distance from the training loss there; empty without one.

    Args:
        lines: The lines of metrics.jsonl.
        steps: Planned steps of the run.
    """
    measured = [line for line in lines if "heldout_loss" in line]
    if not measured:
        return {}
    best = min(measured, key=lambda line: line["heldout_loss"])
    found = {
        "heldout_loss": best["heldout_loss"],
        "best_step": float(best["step"]),
        "stopped_at": float(measured[-1]["step"]),
        "planned_steps": float(steps),
    }
    trained = [line["loss"] for line in lines if "loss" in line and line["step"] <= best["step"]]
    if trained:
        found["overfit_gap"] = best["heldout_loss"] - trained[-1]
    return found


def describe_stop(found: dict[str, float]) -> str:
    """Return what the held-out rows said about a training, in words.

    Args:
        found: As `summarise_heldout` returns it.
    """
    gap = f", {found['overfit_gap']:+.3f} against training" if "overfit_gap" in found else ""
    told = f"held-out loss {found['heldout_loss']:.3f} after step {found['best_step']:.0f}{gap}"
    if found["stopped_at"] < found["planned_steps"]:
        told += f"; stopped after step {found['stopped_at']:.0f} of {found['planned_steps']:.0f}, where it no longer fell"
    return told
