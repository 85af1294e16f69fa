"""Which verified runs become rows: small steps, each keeps or drops with a reason that is counted.

Knows: the steps and their names. Does not know: where runs come from, how rows are stored.

A step over one item is a callable `(Item) -> Keep | Drop`; a step over the whole set gets all samples and yields each
of them, or a Drop in its place. A step needs no base class; a user's own is named by import path in the recipe.
"""

from __future__ import annotations

from burnish_exporters.curate.ambiguity import unambiguous
from burnish_exporters.curate.contamination import without_overlap
from burnish_exporters.curate.coverage import coverage, gaps, mark_rare
from burnish_exporters.curate.critical import only_critical
from burnish_exporters.curate.duplicates import exact_duplicates, near_duplicates
from burnish_exporters.curate.finished import finished
from burnish_exporters.curate.inputs import well_formed
from burnish_exporters.curate.losses import without_losses
from burnish_exporters.curate.luck import (
    succeeds_again,
    supported_by_observations,
    unlike_siblings,
)
from burnish_exporters.curate.necessity import Scorer, call_gain, needed_calls
from burnish_exporters.curate.pools import Refusals, refuse_pools
from burnish_exporters.curate.repeated import without_repeated_calls
from burnish_exporters.curate.sample import Drop, Item, Keep, Sample, SetStep, Step
from burnish_exporters.curate.sources import EXTERNAL, cap_share, external_share
from burnish_exporters.curate.split import assign_split, no_shared_tasks
from burnish_exporters.curate.tasks import cap_per_task, weigh_by_task
from burnish_exporters.curate.verified import verified

__all__ = [
    "EXTERNAL",
    "Drop",
    "Item",
    "Keep",
    "Refusals",
    "Sample",
    "Scorer",
    "SetStep",
    "Step",
    "assign_split",
    "call_gain",
    "cap_per_task",
    "cap_share",
    "coverage",
    "exact_duplicates",
    "external_share",
    "finished",
    "gaps",
    "mark_rare",
    "near_duplicates",
    "needed_calls",
    "no_shared_tasks",
    "only_critical",
    "refuse_pools",
    "succeeds_again",
    "supported_by_observations",
    "unambiguous",
    "unlike_siblings",
    "verified",
    "weigh_by_task",
    "well_formed",
    "without_losses",
    "without_overlap",
    "without_repeated_calls",
]
