"""Drop runs of which capture lost something.

Knows one thing: whether the record of a run is whole.
Does not know what was lost: that is counted per kind in the trajectory itself.
"""

from __future__ import annotations

from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step


def without_losses() -> Step:
    """Keep runs whose record is complete; a conversation with a hole teaches the hole."""

    def step(item: Item) -> Keep | Drop:
        kinds = sorted(kind for kind, count in item.trajectory.losses.items() if count)
        return Drop(f"losses: {kinds[0]}") if kinds else KEEP

    return step
