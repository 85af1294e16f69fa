"""Drop conversations that are there already.

Knows one thing: which of several equal conversations is kept: the earliest.
Does not know what makes two of them equal (rows/keys.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from burnish_exporters.curate.sample import Drop, Sample, SetStep


def exact_duplicates() -> SetStep:
    """Keep one of the runs that are the same word for word, up to the ids of their calls."""

    def step(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        seen: set[tuple[str, str]] = set()
        for sample in sorted(samples, key=lambda s: (s.started_ns, s.trajectory_id)):
            key = (sample.label, sample.content_key)
            if key in seen:
                yield Drop("duplicate: exact", sample.trajectory_id)
            else:
                seen.add(key)
                yield sample

    return step
