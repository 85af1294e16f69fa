"""Where a version comes from: adapter, dataset, trajectories.

Knows: which file of a version names its parents. Does not know: how versions are made.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from burnish.errors import WorkspaceError
from burnish.records import Trajectory


class Place(Protocol):
    """A workspace, as far as lineage reads it."""

    home: Path

    def trajectory(self, trajectory_id: str) -> Trajectory:
        """One trajectory; raises WorkspaceError without it."""
        ...


def lineage(workspace: Place, identifier: str) -> dict[str, Any]:
    """What `identifier` is, and its parents down to the data.

    Raises:
        WorkspaceError: If the workspace holds nothing of that name.
    """
    found = _version(workspace.home, identifier)
    if found is not None:
        return found
    trajectory = workspace.trajectory(identifier)
    return {
        "kind": "trajectory",
        "id": trajectory.id,
        "agent": trajectory.agent,
        "policies": [policy.adapter for policy in trajectory.policies],
        "parents": [
            made
            for adapter in sorted({p.adapter for p in trajectory.policies if p.adapter})
            if (made := _version(workspace.home, adapter)) is not None
        ],
    }


def _version(home: Path, identifier: str) -> dict[str, Any] | None:
    """An adapter or dataset version with its parents; None if there is no such folder."""
    if not identifier or "/" in identifier or identifier.startswith("."):
        return None
    for kind, name in (("adapter", "burnish.json"), ("dataset", "manifest.json")):
        manifest = home / f"{kind}s" / identifier / name
        if not manifest.is_file():
            continue
        try:
            content = json.loads(manifest.read_bytes())
        except ValueError as error:
            raise WorkspaceError(
                f"{manifest} cannot be read: {error}", "a JSON object", "burnish doctor"
            ) from error
        parents = [*content.get("parents", ())]
        if content.get("dataset"):
            parents.append(content["dataset"])
        return {
            "kind": kind,
            "id": identifier,
            "created_at": content.get("created_at"),
            "forced": bool(content.get("forced")) or _was_forced(home, identifier),
            "sources": content.get("sources", []),
            "parents": [
                _version(home, parent) or {"kind": "missing", "id": parent}
                for parent in dict.fromkeys(parents)
                if parent != identifier
            ],
        }
    return None


def _was_forced(home: Path, adapter: str) -> bool:
    """Whether the version was put into service past the gate, for any agent."""
    from burnish.adapters import Registry

    return any(one.forced for one in Registry(home).list() if one.adapter == adapter)
