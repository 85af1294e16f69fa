"""Drop runs of whose conversation capture lost something.

What was lost is counted by kind in the trajectory itself.
"""

from __future__ import annotations

from burnish.journal.events import BESIDE
from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step

_HARMLESS = (BESIDE, "foreign_spans")


def without_losses() -> Step:
    """Keep runs whose conversation is complete; one with a hole teaches the hole.

    What was lost beside it (in a state, an artifact, metadata) no model saw, and bars nothing. Spans of another party that
    were left out of a run of ours are no loss of it: a sender must not be able to keep a run from being learned.
    """

    def step(item: Item) -> Keep | Drop:
        losses = item.trajectory.losses.items()
        kinds = sorted(kind for kind, count in losses if count and not kind.startswith(_HARMLESS))
        return Drop(f"losses: {kinds[0]}") if kinds else KEEP

    return step
