"""How much of a set comes from elsewhere: demonstrations and teachers, and general conversations.

Knows: which sources are outside, and how a share is kept. Does not know: where a run came from: it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from burnish_exporters.curate.sample import Drop, Sample, SetStep
from burnish_exporters.rows.canonical_json import digest

EXTERNAL = frozenset({"demonstration", "teacher"})


def external_share(samples: Iterable[Sample]) -> float:
    """Share of the training runs that come from outside, 0 to 1."""
    train = [sample for sample in samples if sample.split == "train" and sample.label != "fail"]
    return sum(sample.source in EXTERNAL for sample in train) / len(train) if train else 0.0


def cap_share(share: float, sources: Iterable[str], reason: str) -> SetStep:
    """Keep at most this share of training runs from some sources; which ones, a hash says.

    Args:
        share: Largest share, 0 to 1, of runs from these sources among the training runs that are kept.
        sources: The sources.
        reason: Counted for what is dropped.
    """
    meant = frozenset(sources)

    def step(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        known = list(samples)
        train = [s for s in known if s.split == "train" and s.label != "fail"]
        some = [sample for sample in train if sample.source in meant]
        others = len(train) - len(some)
        most = len(some) if share >= 1 else int(others * share / (1 - share) + 1e-9)
        ranked = sorted(some, key=lambda sample: digest(sample.trajectory_id))
        dropped = {sample.trajectory_id for sample in ranked[most:]}
        for sample in known:
            gone = sample.trajectory_id in dropped
            yield Drop(reason, sample.trajectory_id) if gone else sample

    return step
