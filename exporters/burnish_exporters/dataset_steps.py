"""Apply the steps over the whole set: they select among the verified runs and set their weights.

`select_samples` is the entry and states the order of the steps; the steps are in curate/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from burnish.errors import ExportError
from burnish.imports.import_path import resolve_object, unload_changed
from burnish_exporters import curate
from burnish_exporters.curate.sample import Drop, Sample, SetStep
from burnish_exporters.curate.steps.contamination import read_benchmark
from burnish_exporters.dataset.recipe import Recipe
from burnish_exporters.funnel import Funnel


def select_samples(
    samples: list[Sample], recipe: Recipe, funnel: Funnel, folder: Path
) -> list[Sample]:
    """Apply the steps of a recipe that look at the whole set.

    Args:
        samples: The samples that passed the steps over single runs.
        recipe: The recipe.
        funnel: Counts what stays and what leaves.
        folder: Folder that import paths of the recipe are relative to.

    Raises:
        ExportError: If the recipe names a function that does not exist.
    """
    for stage, step in _dataset_steps(recipe, folder):
        kept = []
        for found in step(samples):
            if isinstance(found, Drop):
                funnel.drop(stage, found.reason, found.trajectory_id)
            else:
                kept.append(found)
        funnel.keep(stage, len(kept))
        samples = kept
    return samples


def _dataset_steps(recipe: Recipe, folder: Path) -> Iterator[tuple[str, SetStep]]:
    texts = [t for path in recipe.benchmarks for t in read_benchmark(Path(path))]
    yield "split", curate.drop_shared_tasks()
    yield "decontamination", curate.drop_contaminated(texts)
    if "siblings" in recipe.luck_signs():
        yield "luck", curate.drop_lucky()
    if recipe.critical_steps is not None:
        yield "critical steps", curate.keep_critical(recipe.critical_steps)
    if recipe.needs_failures() and not recipe.contrast:
        yield "failures", _without_failures
    yield "duplicates", curate.drop_exact_duplicates()
    if recipe.near_duplicates:
        yield "near duplicates", curate.drop_near_duplicates()
    yield "balance", curate.cap_per_task(recipe.max_per_task)
    if recipe.max_external < 1:
        share = curate.cap_share(recipe.max_external, curate.EXTERNAL, "external share")
        yield "external data", share
    if recipe.general:
        yield "general data", curate.cap_share(recipe.general_share, ["general"], "general share")
    yield "rare", curate.mark_rare(recipe.rare_below)
    if recipe.weigh == "task":
        yield "weigh", curate.weigh_by_task()
    elif recipe.weigh == "kind":
        yield "weigh", curate.weigh_by_kind()
    for path in recipe.steps:
        yield path, _resolve_step(path, folder)


def _without_failures(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
    """Drop failures once the steps that compare attempts have used them."""
    for sample in samples:
        yield Drop("failed", sample.trajectory_id) if sample.label == "fail" else sample


def _resolve_step(path: str, folder: Path) -> SetStep:
    unload_changed(folder)
    found: Any = resolve_object(path, folder)
    if not callable(found):
        raise ExportError(f"recipe step {path!r} is not a function", '"module:function"')
    return cast("SetStep", found)
