"""Define the settings of training, and what follows from them for a model.

train_recipe.py    settings, their defaults and their ranges
methods.py         LoRA and its variants, all weights, any configuration of PEFT; how the result is served
recommendation.py  what to train on a dataset, with reasons
lora.py            base model and adapter, as the recipe asks
layers.py          layers of a model that a training changes
merging.py         a base model and an adapter as one model
memory.py          memory that a run needs
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burnish.imports.lazy_exports import lazy_exports
from burnish_trainer.recipes.recommendation import Recommendation, recommend_method
from burnish_trainer.recipes.train_recipe import TrainRecipe, make_recipe

if TYPE_CHECKING:
    from burnish_trainer.recipes.merging import publish_merged
    from burnish_trainer.recipes.methods import ServingForm, serving_form

Recipe = TrainRecipe  # its public name in `burnish_trainer`
_HOMES = {
    "ServingForm": "burnish_trainer.recipes.methods",
    "publish_merged": "burnish_trainer.recipes.merging",
    "serving_form": "burnish_trainer.recipes.methods",
}
__getattr__, __dir__ = lazy_exports(__name__, _HOMES)

__all__ = [
    "Recipe",
    "Recommendation",
    "ServingForm",
    "TrainRecipe",
    "make_recipe",
    "publish_merged",
    "recommend_method",
    "serving_form",
]
