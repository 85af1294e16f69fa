"""Select the steps over one run that a recipe asks for, in their order."""

from __future__ import annotations

from typing import Any

from burnish.errors import ExportError
from burnish.imports.import_path import resolve_object
from burnish_exporters import curate
from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step
from burnish_exporters.dataset.recipe import Recipe
from burnish_exporters.shards.plan import Plan


def source_steps(plan: Plan) -> list[Step]:
    """Return the steps that run before verification."""
    recipe = plan.recipe
    return [
        curate.keep_finished(plan.agent),
        curate.refuse_pools(make_refusals(recipe), recipe.sources),
        curate.keep_complete(),
        curate.keep_well_formed(),
    ]


def make_refusals(recipe: Recipe) -> curate.Refusals:
    """Return what a recipe keeps out of training."""
    return curate.Refusals(
        recipe.heldout_pools, recipe.refuse_tasks, recipe.refuse_requests, recipe.refuse_similar
    )


def verified_steps(plan: Plan) -> list[Step]:
    """Return the steps that run after verification.

    Raises:
        ImportPathError: If the recipe names a function that does not exist.
        ExportError: If it names something other than a function.
    """
    recipe, signs = plan.recipe, plan.recipe.luck_signs()
    labels = ("success", "fail") if recipe.needs_failures() else ("success",)
    steps = [curate.keep_verified(labels, plan.unbelieved)]
    if recipe.ambiguous == "drop":
        steps.append(curate.keep_unambiguous())
    for_success: list[Step] = []
    if recipe.max_repeated_calls is not None:
        for_success.append(curate.limit_repeated_calls(recipe.max_repeated_calls))
    if "observations" in signs:
        for_success.append(curate.keep_supported())
    if recipe.replay is not None:
        for_success.append(curate.keep_repeatable(_resolve_function(recipe.replay, plan)))
    if recipe.scorer is not None:
        scorer = _resolve_function(recipe.scorer, plan)
        for_success.append(curate.keep_needed_calls(scorer, at_least=recipe.min_call_gain))
    return [*steps, *map(_only_successes, for_success)]


def _only_successes(step: Step) -> Step:
    """Wrap a step so that it looks at successes only."""

    def check_success(item: Item) -> Keep | Drop:
        failed = item.verdict is None or item.verdict.label != "success"
        return KEEP if failed else step(item)

    return check_success


def _resolve_function(path: str, plan: Plan) -> Any:
    found = resolve_object(path, plan.folder)
    if not callable(found):
        raise ExportError(f"{path!r} names {type(found).__name__}", '"module:function"')
    return found
