"""Refuse runs on tasks that are kept for measuring.

Knows: which tasks and which sources of runs are out of bounds. Does not know: how they are measured.

Tasks are compared by hash, so a recipe that names them does not give them away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step

_TRAINING_SOURCES = ("production", "rollout", "demonstration", "teacher")


def task_hash(task_id: str) -> str:
    """Hash of a task id, 32 hex digits."""
    return hashlib.blake2b(task_id.encode("utf-8", "replace"), digest_size=16).hexdigest()


def refuse_pools(
    pools: Iterable[str], refused: Iterable[str] = (), sources: Iterable[str] = _TRAINING_SOURCES
) -> Step:
    """Drop runs of held-out pools, of refused tasks, and of sources that are no training data.

    Args:
        pools: Names of pools; a run belongs to one by its metadata `pool` or its tag `pool:NAME`.
        refused: Hashes (`task_hash`) of refused tasks.
        sources: Sources that may be trained on; "evaluation" is not among them by default.
    """
    held, hashes, allowed = frozenset(pools), frozenset(refused), frozenset(sources)

    def step(item: Item) -> Keep | Drop:
        trajectory = item.trajectory
        pool = trajectory.metadata.get("pool")
        tagged = next((t[5:] for t in trajectory.tags if t.startswith("pool:")), pool)
        if pool in held or tagged in held:
            return Drop(f"held out: pool {tagged}")
        if trajectory.task_id and hashes and task_hash(trajectory.task_id) in hashes:
            return Drop("held out: task")
        if trajectory.source not in allowed:
            return Drop(f"held out: source {trajectory.source}")
        return KEEP

    return step
