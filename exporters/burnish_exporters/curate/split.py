"""Assign runs to splits by group, before anything else looks at them.

Knows: the group of a run (its task, and its user where known) and the hash that places it.
Does not know: what is done with a split.

The place of a group depends on nothing but its hash, so it never moves when data grows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from burnish.records import Trajectory
from burnish_exporters.curate.sample import Drop, Sample, SetStep


def group_of(trajectory: Trajectory) -> str:
    """The group of a run: runs of one group are never parted."""
    return f"{trajectory.task_id or trajectory.id}\x1f{trajectory.user or ''}"


def assign_split(
    trajectory: Trajectory, *, heldout: float = 0.0, since_ns: int | None = None
) -> str:
    """Split of a run: "temporal" from a moment on, else "heldout" or "train" by group.

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


def no_shared_tasks() -> SetStep:
    """Drop training runs on tasks that a held-out split has too, under another user or at a later time."""

    def step(samples: Iterable[Sample]) -> Iterator[Sample | Drop]:
        known = list(samples)
        held = {sample.task for sample in known if sample.split != "train"}
        for sample in known:
            if sample.split == "train" and sample.task in held:
                yield Drop("contamination: task is held out", sample.trajectory_id)
            else:
                yield sample

    return step
