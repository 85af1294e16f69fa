"""Drop duplicate conversations; the earliest, or the shortest without errors, stays.

The keys that make two conversations equal are in rows/keys.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from burnish_exporters.curate.sample import Drop, Sample, SetStep


def drop_exact_duplicates() -> SetStep:
    """Keep one of the runs that are the same word for word, up to the ids of their calls."""

    def drop_repeats(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        seen: set[tuple[str, str]] = set()
        for sample in sorted(samples, key=lambda s: (s.started_ns, s.trajectory_id)):
            key = (sample.label, sample.content_key)
            if key in seen:
                yield Drop("duplicate: exact", sample.trajectory_id)
            else:
                seen.add(key)
                yield sample

    return drop_repeats


def drop_near_duplicates() -> SetStep:
    """Keep one of the runs with the same request and the same calls, up to times and generated ids.

    Similar texts are not enough: another request or another call makes another run.
    """

    def drop_similar(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        seen: set[tuple[str, str, str]] = set()
        for sample in sorted(samples, key=effort_key):
            key = (sample.split, sample.label, sample.action_key)
            if key in seen:
                yield Drop("duplicate: same request and calls", sample.trajectory_id)
            else:
                seen.add(key)
                yield sample

    return drop_similar


def effort_key(sample: Sample) -> tuple[int, int, int, str]:
    """Return the sort key that prefers few errors, few steps and early runs."""
    return sample.errors, sample.steps, sample.started_ns, sample.trajectory_id
