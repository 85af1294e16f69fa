"""Read the learning curve of an adapter: the metrics that its training wrote into the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from burnish.adapters.store import AdapterStore
from burnish.errors import BurnishError
from burnish.files.paths import is_component
from burnish_trainer.report.figures.shares import Json
from burnish_trainer.run.storage import read_metrics

_POINTS = 200  # of a curve; more are thinned out evenly
_SHOWN = ("step", "epoch", "loss", "mean_token_accuracy", "grad_norm", "learning_rate")


def read_learning(home: Path, adapter: str | None) -> Json:
    """Return the curve of an adapter's training, or why there is none.

    Args:
        home: Folder of the workspace.
        adapter: The version; None is the base model.
    """
    if adapter is None:
        return {"missing": "the base model was not trained here"}
    try:
        plan = AdapterStore(home).get(adapter).plan
    except BurnishError as problem:
        return {"missing": f"its manifest cannot be read: {problem.found}"}
    run = str(plan.get("id") or "")
    path = home / "runs" / run / "metrics.jsonl"
    lines = _read_lines(path) if is_component(run) else []
    if not lines:
        return {"missing": f"the workspace holds no metrics of its training ({run or 'unnamed'})"}
    losses = [line["loss"] for line in lines]
    return {
        "run": run,
        "objective": plan.get("objective"),
        "steps": int(lines[-1]["step"]),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "lowest_loss": min(losses),
        "last_accuracy": lines[-1].get("mean_token_accuracy"),
        "points": [{key: line[key] for key in _SHOWN if key in line} for line in _thin_out(lines)],
    }


def read_objective(home: Path, adapter: str | None) -> str | None:
    """Return the objective that an adapter was trained with; None of the base model and of adapters from elsewhere.

    Args:
        home: Folder of the workspace.
        adapter: The version; None is the base model.
    """
    if adapter is None:
        return None
    try:
        found = AdapterStore(home).get(adapter).plan.get("objective")
    except BurnishError:
        return None
    return found if isinstance(found, str) else None


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [line for line in read_metrics(path) if "step" in line and "loss" in line]


def _thin_out(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return at most `_POINTS` lines, the first and the last among them."""
    if len(lines) <= _POINTS:
        return lines
    step = (len(lines) - 1) / (_POINTS - 1)
    return [lines[round(place * step)] for place in range(_POINTS)]
