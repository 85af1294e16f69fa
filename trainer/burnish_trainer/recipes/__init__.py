"""Define the settings of training, and what follows from them for a model.

train_recipe.py   settings, their defaults and their ranges
lora.py           base model and adapter, as the recipe asks
memory.py         memory that a run needs
"""

from __future__ import annotations

from burnish_trainer.recipes.train_recipe import TrainRecipe, make_recipe

Recipe = TrainRecipe  # its public name in `burnish_trainer`

__all__ = ["Recipe", "TrainRecipe", "make_recipe"]
