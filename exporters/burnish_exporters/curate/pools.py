"""Refuse runs on tasks that are kept for measuring.

Knows: which tasks, requests and sources of runs are out of bounds. Does not know: how they are measured.

Tasks and requests are compared by hash, so a recipe that names them does not give them away. Production runs carry no
task id of a pool: the words of their request tell.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from burnish.records import Trajectory
from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step

_WORD = re.compile(r"\w+", re.UNICODE)
_TRAINING_SOURCES = ("production", "rollout", "demonstration", "teacher")


def task_hash(task_id: str) -> str:
    """Hash of a task id, 32 hex digits."""
    return hashlib.blake2b(task_id.encode("utf-8", "replace"), digest_size=16).hexdigest()


def request_hash(text: str) -> str:
    """Hash of the words of a request, whatever their case and what stands between them; 32 hex digits."""
    return task_hash(" ".join(_WORD.findall(text.casefold())))


def refuse_pools(
    pools: Iterable[str],
    refused: Iterable[str] = (),
    sources: Iterable[str] = _TRAINING_SOURCES,
    requests: Iterable[str] = (),
) -> Step:
    """Drop runs of held-out pools, of refused tasks and requests, and of sources that are no training data.

    Args:
        pools: Names of pools; a run belongs to one by its metadata `pool` or its tag `pool:NAME`.
        refused: Hashes (`task_hash`) of refused tasks.
        sources: Sources that may be trained on; "evaluation" is not among them by default.
        requests: Hashes (`request_hash`) of refused requests.
    """
    held, hashes, allowed = frozenset(pools), frozenset(refused), frozenset(sources)
    asked = frozenset(requests)

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
        if asked and request_hash(_request(trajectory)) in asked:
            return Drop("held out: request")
        return KEEP

    return step


def _request(trajectory: Trajectory) -> str:
    """What users said in the first call of a run."""
    first = next(iter(trajectory.model_calls), None)
    users = [m for m in first.messages if m.get("role") == "user"] if first else []
    parts = [part for message in users for part in message.get("parts") or ()]
    return "\n".join(part["content"] for part in parts if isinstance(part.get("content"), str))
