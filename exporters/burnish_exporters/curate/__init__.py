"""Curate verified runs with small steps that each keep or drop, with a reason that is counted.

A step over one item is a callable `(Item) -> Keep | Drop`. A step over the whole set takes all
samples and yields each of them, or a Drop in its place. A step needs no base class; the recipe
names a user's own step by import path.
"""

from __future__ import annotations

from burnish_exporters.curate.coverage import count_coverage, coverage_warnings, mark_rare
from burnish_exporters.curate.sample import Drop, Item, Keep, Sample, SetStep, Step
from burnish_exporters.curate.sources import EXTERNAL, cap_share, external_share
from burnish_exporters.curate.split import assign_split, drop_shared_tasks
from burnish_exporters.curate.steps.ambiguity import keep_unambiguous
from burnish_exporters.curate.steps.contamination import drop_contaminated
from burnish_exporters.curate.steps.critical import keep_critical
from burnish_exporters.curate.steps.duplicates import drop_exact_duplicates, drop_near_duplicates
from burnish_exporters.curate.steps.finished import keep_finished
from burnish_exporters.curate.steps.inputs import keep_well_formed
from burnish_exporters.curate.steps.losses import keep_complete
from burnish_exporters.curate.steps.luck import drop_lucky, keep_repeatable, keep_supported
from burnish_exporters.curate.steps.necessity import Scorer, call_gain, keep_needed_calls
from burnish_exporters.curate.steps.pools import Refusals, refuse_pools
from burnish_exporters.curate.steps.repeated import limit_repeated_calls
from burnish_exporters.curate.steps.verified import keep_verified
from burnish_exporters.curate.tasks import cap_per_task, weigh_by_kind, weigh_by_task

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
    "count_coverage",
    "coverage_warnings",
    "drop_contaminated",
    "drop_exact_duplicates",
    "drop_lucky",
    "drop_near_duplicates",
    "drop_shared_tasks",
    "external_share",
    "keep_complete",
    "keep_critical",
    "keep_finished",
    "keep_needed_calls",
    "keep_repeatable",
    "keep_supported",
    "keep_unambiguous",
    "keep_verified",
    "keep_well_formed",
    "limit_repeated_calls",
    "mark_rare",
    "refuse_pools",
    "weigh_by_kind",
    "weigh_by_task",
]
