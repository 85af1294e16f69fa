"""Count the kinds of task that a set covers, warn of the missing ones, and tag the rare ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from burnish_exporters.curate.sample import Drop, Sample, SetStep

RARE = 0.05


def count_coverage(
    kinds: Mapping[str, Sequence[int]], samples: Iterable[Sample]
) -> dict[str, dict[str, int]]:
    """Count runs, verified successes and training rows of each kind.

    Args:
        kinds: Runs and successes by kind, as they entered.
        samples: The selected samples.
    """
    rows: Counter[str] = Counter()
    for sample in samples:
        if sample.split == "train" and sample.label != "fail":
            rows[sample.kind] += sample.rows
    names = sorted(kinds.keys() | rows.keys())
    empty = (0, 0)
    return {
        name: {
            "runs": kinds.get(name, empty)[0],
            "successes": kinds.get(name, empty)[1],
            "rows": rows[name],
        }
        for name in names
    }


def coverage_warnings(
    table: Mapping[str, Mapping[str, int]], wanted: Iterable[str] = ()
) -> list[str]:
    """Return a warning for each kind that was wanted or seen and has no row left."""
    warnings = []
    for kind in sorted({*table, *wanted}):
        found = table.get(kind)
        if found is None:
            warnings.append(f"no run of kind {kind!r} was recorded")
        elif not found["rows"]:
            told = f"{found['runs']} runs, {found['successes']} verified successes"
            warnings.append(f"no row of kind {kind!r} is left ({told})")
    return warnings


def mark_rare(below: float = RARE) -> SetStep:
    """Tag training runs of kinds that make up less than this share of the set as `rare`.

    Args:
        below: Share of training runs, 0 to 1.
    """

    def tag_rare(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        known = list(samples)
        counts = Counter(sample.kind for sample in known if sample.split == "train")
        limit = below * counts.total()
        for sample in known:
            if 0 < counts[sample.kind] < limit and sample.split == "train":
                sample.tags = sorted({*sample.tags, "rare"})
            yield sample

    return tag_rare
