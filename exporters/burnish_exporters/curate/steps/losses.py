"""Drop runs whose conversation capture could not record completely.

The trajectory counts its losses by kind.
"""

from __future__ import annotations

from burnish.journal.events import BESIDE
from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step

_HARMLESS = (BESIDE, "foreign_spans")


def keep_complete() -> Step:
    """Keep runs whose conversation is complete; a run with a gap would teach the gap.

    Losses outside the conversation (in a state, an artifact, metadata) were invisible to the model
    and are accepted. Spans of another party that were left out of an own run are accepted too: a
    sender must not be able to exclude a run from training.
    """

    def check_losses(item: Item) -> Keep | Drop:
        losses = item.trajectory.losses.items()
        kinds = sorted(kind for kind, count in losses if count and not kind.startswith(_HARMLESS))
        return Drop(f"losses: {kinds[0]}") if kinds else KEEP

    return check_losses
