"""Measure and limit the share of a set from given sources: demonstrations, teachers, general conversations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from burnish_exporters.curate.sample import Drop, Sample, SetStep
from burnish_exporters.rows.canonical_json import hash_json

EXTERNAL = frozenset({"demonstration", "teacher"})


def external_share(samples: Iterable[Sample]) -> float:
    """Return the share of the training runs from external sources, 0 to 1."""
    train = [sample for sample in samples if sample.split == "train" and sample.label != "fail"]
    return sum(sample.source in EXTERNAL for sample in train) / len(train) if train else 0.0


def cap_share(share: float, sources: Iterable[str], reason: str) -> SetStep:
    """Keep at most this share of training runs from some sources; a hash selects which ones.

    Args:
        share: Largest share, 0 to 1, of runs from these sources among the training runs that are kept.
        sources: The sources.
        reason: Reason that is counted for dropped runs.
    """
    meant = frozenset(sources)

    def drop_excess(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        known = list(samples)
        train = [s for s in known if s.split == "train" and s.label != "fail"]
        some = [sample for sample in train if sample.source in meant]
        others = len(train) - len(some)
        most = len(some) if share >= 1 else int(others * share / (1 - share) + 1e-9)
        ranked = sorted(some, key=lambda sample: hash_json(sample.trajectory_id))
        dropped = {sample.trajectory_id for sample in ranked[most:]}
        for sample in known:
            gone = sample.trajectory_id in dropped
            yield Drop(reason, sample.trajectory_id) if gone else sample

    return drop_excess
