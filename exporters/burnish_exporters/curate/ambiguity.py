"""Drop runs of which the verifiers do not say one and the same.

Knows one thing: whether all verdicts agree. Does not know which of them is right: the combined verdict says which label
counts, but a row that somebody doubts is no example to learn from.
"""

from __future__ import annotations

from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step


def unambiguous() -> Step:
    """Keep runs whose verifiers all give the label of the combined verdict."""

    def step(item: Item) -> Keep | Drop:
        labels = {verdict.label for verdict in item.verdicts}
        if len(labels) < 2:
            return KEEP
        if "unknown" in labels:
            return Drop("ambiguous: a verifier cannot tell")
        return Drop("ambiguous: verifiers disagree")

    return step
