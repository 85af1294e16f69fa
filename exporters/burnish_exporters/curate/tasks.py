"""Limit and balance runs by task: how many of one task are kept, which ones, and their weights."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from burnish_exporters.curate.sample import Drop, Sample, SetStep
from burnish_exporters.curate.steps.duplicates import effort_key

MOST_WEIGHT = 4.0
"""Largest factor by which a kind of task counts more than it would by its runs."""


def cap_per_task(most: int | None) -> SetStep:
    """Keep at most this many runs of one task: different actions first, then few errors and few steps.

    Args:
        most: Runs kept of one task; None keeps all.

    Raises:
        ValueError: If the limit is below 1.
    """
    if most is not None and most < 1:
        raise ValueError(f"max_per_task is {most}, expected at least 1, or None to keep all")

    def drop_excess(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        if most is None:
            yield from samples
            return
        groups: dict[tuple[str, str, str], list[Sample]] = defaultdict(list)
        for sample in samples:
            groups[sample.split, sample.label, sample.task].append(sample)
        for group in groups.values():
            chosen = _best_first(group)
            yield from chosen[:most]
            for sample in chosen[most:]:
                yield Drop("task cap", sample.trajectory_id)

    return drop_excess


def weigh_by_task() -> SetStep:
    """Give each task the same total weight; the mean weight of a split stays 1."""

    def set_weights(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        known = list(samples)
        runs = Counter((sample.split, sample.label, sample.task) for sample in known)
        totals = Counter((sample.split, sample.label) for sample in known)
        tasks = Counter((split, label) for split, label, _ in runs)
        for sample in known:
            kind = (sample.split, sample.label)
            sample.weight *= totals[kind] / tasks[kind] / runs[*kind, sample.task]
            yield sample

    return set_weights


def weigh_by_kind(most: float = MOST_WEIGHT) -> SetStep:
    """Give each kind of task the same total weight, so that a kind with few successes is not learned least.

    The mean weight of a split stays 1, and no kind counts more than `most` times as much as without weights, so that a
    single run of a kind does not decide.

    Args:
        most: Largest factor of a run's weight.

    Raises:
        ValueError: If the largest factor is below 1.
    """
    if most < 1:
        raise ValueError(f"the largest factor is {most}, expected at least 1")

    def set_weights(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        known = list(samples)
        runs = Counter((sample.split, sample.label, sample.kind) for sample in known)
        totals = Counter((sample.split, sample.label) for sample in known)
        kinds = Counter((split, label) for split, label, _ in runs)
        factors = {
            group: min(most, totals[group[:2]] / kinds[group[:2]] / count)
            for group, count in runs.items()
        }
        mean: defaultdict[tuple[str, str], float] = defaultdict(float)
        for group, count in runs.items():
            mean[group[:2]] += factors[group] * count / totals[group[:2]]
        for sample in known:
            split, label = sample.split, sample.label
            sample.weight *= factors[split, label, sample.kind] / mean[split, label]
            yield sample

    return set_weights


def _best_first(group: list[Sample]) -> list[Sample]:
    """Sort the runs of one task: the n-th run with the same actions comes after all n-1-th ones."""
    ordered = sorted(group, key=effort_key)
    seen: Counter[str] = Counter()
    ranked = []
    for place, sample in enumerate(ordered):
        ranked.append((seen[sample.action_key], place, sample))
        seen[sample.action_key] += 1
    return [sample for _, _, sample in sorted(ranked, key=lambda entry: entry[:2])]
