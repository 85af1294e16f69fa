"""Immutable dataset versions: what they are made by, where they live, how they are read.

Knows: the recipe (recipe.py), rows on disk (spool.py, parquet.py), publishing once (publish.py), the card (card.py),
reading (version.py), all versions of a workspace (shelf.py).
Does not know: how runs are verified and chosen.
"""

from __future__ import annotations

from burnish_exporters.dataset.recipe import Recipe, as_recipe
from burnish_exporters.dataset.shelf import Difference, Shelf, compare
from burnish_exporters.dataset.version import DatasetVersion

__all__ = ["DatasetVersion", "Difference", "Recipe", "Shelf", "as_recipe", "compare"]
