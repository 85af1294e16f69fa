"""Make, store and read immutable dataset versions.

The recipe is in recipe.py, rows on disk in spool.py and parquet.py, publication in draft.py, the
card in card.py, reading in version.py, all versions of a workspace in store.py.
"""

from __future__ import annotations

from burnish_exporters.dataset.recipe import Recipe, as_recipe
from burnish_exporters.dataset.store import DatasetStore, VersionDifference, compare_versions
from burnish_exporters.dataset.version import DatasetVersion

__all__ = [
    "DatasetStore",
    "DatasetVersion",
    "Recipe",
    "VersionDifference",
    "as_recipe",
    "compare_versions",
]
