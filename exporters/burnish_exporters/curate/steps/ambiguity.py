"""Drop runs whose verifiers do not agree.

The combined verdict gives the label, but a row that one verifier doubts is a bad example to learn from.
"""

from __future__ import annotations

from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step


def keep_unambiguous() -> Step:
    """Keep runs whose verifiers all give the label of the combined verdict."""

    def check_agreement(item: Item) -> Keep | Drop:
        labels = {verdict.label for verdict in item.verdicts}
        if len(labels) < 2:
            return KEEP
        if "unknown" in labels:
            return Drop("ambiguous: a verifier cannot tell")
        return Drop("ambiguous: verifiers disagree")

    return check_agreement
