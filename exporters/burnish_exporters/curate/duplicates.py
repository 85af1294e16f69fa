"""Drop conversations that are there already.

Knows one thing: which of several equal conversations is kept: the earliest, or the shortest without errors.
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


def near_duplicates() -> SetStep:
    """Keep one of the runs with the same request and the same calls, up to times and generated ids.

    Texts that are alike are no reason: another request or another call makes another run.
    """

    def step(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        seen: set[tuple[str, str, str]] = set()
        for sample in sorted(samples, key=effort):
            key = (sample.split, sample.label, sample.action_key)
            if key in seen:
                yield Drop("duplicate: same request and calls", sample.trajectory_id)
            else:
                seen.add(key)
                yield sample

    return step


def effort(sample: Sample) -> tuple[int, int, int, str]:
    """Order in which runs are preferred: few errors, few steps, early."""
    return sample.errors, sample.steps, sample.started_ns, sample.trajectory_id
