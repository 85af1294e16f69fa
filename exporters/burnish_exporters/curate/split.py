"""Assign runs to splits by group, before any other step.

The group of a run is its task, and its user if known. The split of a group depends on the hash of
the group alone, so it never changes when data grows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from burnish.records import Trajectory
from burnish_exporters.curate.sample import Drop, Sample, SetStep


def group_of(trajectory: Trajectory) -> str:
    """Return the group of a run; runs of one group always share a split."""
    return f"{trajectory.task_id or trajectory.id}\x1f{trajectory.user or ''}"


def assign_split(
    trajectory: Trajectory, *, heldout: float = 0.0, since_ns: int | None = None
) -> str:
    """Return the split of a run: "temporal" from a moment on, else "heldout" or "train" by group.

    Args:
        trajectory: The run.
        heldout: Share of groups that is held out, 0 to 1.
        since_ns: Runs that started at or after this time form the temporal hold-out.
    """
    if since_ns is not None and trajectory.started_ns >= since_ns:
        return "temporal"
    if not heldout:
        return "train"
    group = group_of(trajectory).encode("utf-8", "replace")
    place = int.from_bytes(hashlib.blake2b(group, digest_size=8).digest(), "big") / 2**64
    return "heldout" if place < heldout else "train"


def drop_shared_tasks() -> SetStep:
    """Drop training runs on tasks that a held-out split also has, under another user or at a later time."""

    def drop_held_tasks(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        known = list(samples)
        held = {sample.task for sample in known if sample.split != "train"}
        for sample in known:
            if sample.split == "train" and sample.task in held:
                yield Drop("contamination: task is held out", sample.trajectory_id)
            else:
                yield sample

    return drop_held_tasks
