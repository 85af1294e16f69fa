"""Turn spans into verified, curated, versioned datasets.

    from burnish import Workspace
    from burnish_exporters import build_dataset
    from burnish_exporters.verify import goal_state

    version = build_dataset(Workspace(), agent="support", verify=[goal_state("checks:reached_goal")])
    version.to("trl-sft")

This module exports the public names; a name loads its module when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burnish.imports.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from burnish_exporters.dataset import DatasetVersion, Recipe
    from burnish_exporters.pipeline import BuildOptions, build_dataset
    from burnish_exporters.sources import JournalSource
    from burnish_exporters.verify import make_verifiers
    from burnish_exporters.verify.running.watching import verify_runs

_HOMES = {
    "BuildOptions": "burnish_exporters.pipeline",
    "DatasetVersion": "burnish_exporters.dataset",
    "JournalSource": "burnish_exporters.sources",
    "Recipe": "burnish_exporters.dataset",
    "build_dataset": "burnish_exporters.pipeline",
    "make_verifiers": "burnish_exporters.verify",
    "verify_runs": "burnish_exporters.verify.running.watching",
}

__all__ = [
    "BuildOptions",
    "DatasetVersion",
    "JournalSource",
    "Recipe",
    "build_dataset",
    "make_verifiers",
    "verify_runs",
]

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
