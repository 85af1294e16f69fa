"""Which verified runs become rows: small steps, each keeps or drops with a reason that is counted.

Knows: the steps and their names. Does not know: where runs come from, how rows are stored.

A step over one item is a callable `(Item) -> Keep | Drop`; a step over the whole set gets all samples and yields each
of them, or a Drop in its place. A step needs no base class; a user's own is named by import path in the recipe.
"""

from __future__ import annotations

from burnish_exporters.curate.contamination import without_overlap
from burnish_exporters.curate.duplicates import exact_duplicates, near_duplicates
from burnish_exporters.curate.finished import finished
from burnish_exporters.curate.losses import without_losses
from burnish_exporters.curate.luck import supported_by_observations, unlike_siblings
from burnish_exporters.curate.pools import refuse_pools
from burnish_exporters.curate.sample import Drop, Item, Keep, Sample, SetStep, Step
from burnish_exporters.curate.split import assign_split, no_shared_tasks
from burnish_exporters.curate.tasks import cap_per_task, weigh_by_task
from burnish_exporters.curate.verified import verified

__all__ = [
    "Drop",
    "Item",
    "Keep",
    "Sample",
    "SetStep",
    "Step",
    "assign_split",
    "cap_per_task",
    "exact_duplicates",
    "finished",
    "near_duplicates",
    "no_shared_tasks",
    "refuse_pools",
    "supported_by_observations",
    "unlike_siblings",
    "verified",
    "weigh_by_task",
    "without_losses",
    "without_overlap",
]
