"""Choose the adapter versions that nothing needs any more, and remove them.

A version is needed while it serves (stable, canary, hold-back), while it is an ancestor of one that is needed, and while it
is among the newest of its name. `choose_removals` is the entry.
"""

from __future__ import annotations

import shutil
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.adapters.store import AdapterStore

_REMOVED = ".removed-"


@dataclass(frozen=True)
class StoredVersion:
    """A version and what it is needed for.

    Attributes:
        id: The version.
        needed_for: Reasons to keep it; none if it can go.
        size: Bytes of its folder.
    """

    id: str
    needed_for: tuple[str, ...]
    size: int


def choose_removals(
    store: AdapterStore, serving: Mapping[str, Sequence[str]], newest: int = 2
) -> list[StoredVersion]:
    """Return all versions, oldest first, each with the reasons to keep it.

    Args:
        store: The workspace's adapters.
        serving: For each version in service, its roles.
        newest: Versions of each name that are kept in any case.
    """
    manifests = {manifest.id: manifest for manifest in store.list()}
    reasons: dict[str, list[str]] = defaultdict(list)
    for version, roles in serving.items():
        reasons[version] += roles
    names: dict[str, list[str]] = defaultdict(list)
    for version, manifest in manifests.items():
        names[manifest.name].append(version)
    for versions in names.values():
        for version in versions[len(versions) - newest :] if newest else ():
            reasons[version].append("among the newest")
    waiting = list(reasons)
    while waiting:
        child = waiting.pop()
        for parent in manifests[child].parents if child in manifests else ():
            reason = f"ancestor of {child}"
            if parent not in reasons:
                waiting.append(parent)
            if reason not in reasons[parent]:
                reasons[parent].append(reason)
    return [
        StoredVersion(one, tuple(reasons.get(one, ())), _size_of(store, one)) for one in manifests
    ]


def remove_version(store: AdapterStore, version: str) -> None:
    """Remove a version, and what a killed removal left; a reader sees a version whole or not at all."""
    folder = store.path(version)
    folder.rename(folder.with_name(f"{_REMOVED}{uuid.uuid4().hex}"))
    for gone in store.folder.glob(f"{_REMOVED}*"):
        shutil.rmtree(gone, ignore_errors=True)


def _size_of(store: AdapterStore, version: str) -> int:
    return sum(file.stat().st_size for file in store.path(version).rglob("*") if file.is_file())
