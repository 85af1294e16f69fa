"""Where a thing comes from and what was made of it: span, trajectory, row, dataset, adapter, deployment.

Knows: which file of a version names its parents, and which column of its rows their runs.
Does not know: how versions are made.

Each thing is a dict with `kind` and `id`. What it comes from is under `parents`, what was made of it under `children`;
parents have parents, children have children.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from burnish.artefacts import (
    MANIFESTS,
    find_unreadable,
    parents_of,
    read_columns,
    read_manifest,
    row_files,
)
from burnish.errors import BurnishError, WorkspaceError
from burnish.paths import is_component
from burnish.records import Span, Trajectory

if TYPE_CHECKING:
    from burnish.adapters.registry import Candidate

Node = dict[str, Any]

_SHORTEST_SPAN = 16  # hex digits
_LONGEST_NAME = 255  # bytes of a file's name


class LineageWorkspace(Protocol):
    """A workspace, as far as lineage reads it."""

    home: Path

    def trajectory(self, trajectory_id: str) -> Trajectory:
        """One trajectory; raises WorkspaceError without it."""
        ...

    def spans(self, since_ns: int | None = None) -> Iterator[Span]:
        """Spans of all trajectories."""
        ...


def lineage(workspace: LineageWorkspace, identifier: str) -> Node:
    """What `identifier` is, what it comes from, and what was made of it.

    What cannot be read is left out; the node then names those files under `unread`.

    Args:
        workspace: Where to look.
        identifier: Id of an adapter or dataset version, name of an agent that is deployed, or id of a row, a
            trajectory (or its beginning) or a span.

    Raises:
        WorkspaceError: If the workspace holds nothing of that name.
    """
    found = _find(workspace, identifier)
    unread = find_unreadable(workspace.home)
    return {**found, "unread": [str(path) for path in unread]} if unread else found


def _find(workspace: LineageWorkspace, identifier: str) -> Node:
    home = workspace.home
    version = _version(home, identifier)
    if version is not None:
        return {**version, "children": _children(home, version["kind"], identifier)}
    deployed = _deployment(home, identifier)
    if deployed is not None:
        return {**deployed, "children": []}
    try:
        trajectory = workspace.trajectory(identifier)
    except WorkspaceError:
        found = _row(workspace, identifier) or _span(workspace, identifier)
        if found is None:
            raise
        return found
    return {**_run(home, trajectory), "children": _rows_of(home, trajectory.id)}


def _run(home: Path, trajectory: Trajectory) -> Node:
    """A trajectory with the adapters that wrote its replies."""
    adapters = sorted({p.adapter for p in trajectory.policies if p.adapter})
    return {
        "kind": "trajectory",
        "id": trajectory.id,
        "agent": trajectory.agent,
        "policies": [policy.adapter for policy in trajectory.policies],
        "parents": [made for name in adapters if (made := _version(home, name)) is not None],
    }


def _span(workspace: LineageWorkspace, identifier: str) -> Node | None:
    """A span, found by reading the journal through."""
    if len(identifier) != _SHORTEST_SPAN:
        return None
    span = next((span for span in workspace.spans() if span.span_id == identifier), None)
    if span is None:
        return None
    trajectory = workspace.trajectory(
        str(span.attributes.get("burnish.trajectory.id") or span.trace_id)
    )
    run = {**_run(workspace.home, trajectory), "children": _rows_of(workspace.home, trajectory.id)}
    facts = {"kind": "span", "id": identifier, "name": span.name}
    return {**facts, "parents": run["parents"], "children": [{**run, "parents": []}]}


def _row(workspace: LineageWorkspace, identifier: str) -> Node | None:
    """A row of a dataset, with the run that it was made of."""
    found = list(_rows(workspace.home, "row_id", identifier))
    if not found:
        return None
    _, _, run_id = found[0]
    try:
        parent = _run(workspace.home, workspace.trajectory(run_id))
    except WorkspaceError:  # its run was forgotten, or kept no longer
        parent = _missing(run_id)
    datasets = [_made(workspace.home, "dataset", name) for name, _, _ in found]
    return {"kind": "row", "id": identifier, "parents": [parent], "children": datasets}


def _rows_of(home: Path, trajectory_id: str) -> list[Node]:
    """The rows that were made of a run, each with the datasets that hold it."""
    holders: dict[str, list[str]] = {}
    for dataset, row, _ in _rows(home, "trajectory_id", trajectory_id):
        holders.setdefault(row, []).append(dataset)
    return [
        {"kind": "row", "id": row, "children": [_made(home, "dataset", d) for d in datasets]}
        for row, datasets in sorted(holders.items())
    ]


def _rows(home: Path, column: str, value: str) -> Iterator[tuple[str, str, str]]:
    """Dataset, row and trajectory of the rows with a value in a column."""
    for path in row_files(home):
        for row in read_columns(path, ["row_id", "trajectory_id"]) or ():
            if row[column] == value:
                yield path.parent.parent.name, row["row_id"], row["trajectory_id"]


def _made(home: Path, kind: str, identifier: str) -> Node:
    """A version with what was made of it."""
    return {"kind": kind, "id": identifier, "children": _children(home, kind, identifier)}


def _children(home: Path, kind: str, identifier: str) -> list[Node]:
    """What names a version as its parent: versions, and agents that are served by it."""
    found = [
        _made(home, other, path.parent.name)
        for other, name in MANIFESTS.items()
        for path in sorted(home.glob(f"{other}s/[!.]*/{name}"))
        if path.parent.name != identifier and identifier in parents_of(read_manifest(path) or {})
    ]
    if kind == "adapter":
        for agent in _agents(home):
            deployed = _deployment(home, agent) or {"parents": []}
            told = [parent for parent in deployed["parents"] if parent["id"] == identifier]
            found += [
                {"kind": "deployment", "id": agent, "as": parent["as"], "children": []}
                for parent in told
            ]
    return found


def _deployment(home: Path, agent: str) -> Node | None:
    """What an agent is served by, as its control document says; None if it has none."""
    from burnish.adapters.control import SqlControlStore

    if not (home / "control.sqlite").exists():
        return None
    try:
        document, version = SqlControlStore(home).read(agent)
    except BurnishError:  # it is damaged, which the lineage says
        return None
    if not version:
        return None
    arms = {arm: document.get(arm) for arm in ("stable", "canary")}
    served = {arm: told["adapter"] for arm, told in arms.items() if told and told.get("adapter")}
    parents = [
        {**(_version(home, name) or _missing(name)), "as": arm} for arm, name in served.items()
    ]
    return {"kind": "deployment", "id": agent, "state": document.get("state"), "parents": parents}


def _version(home: Path, identifier: str) -> Node | None:
    """An adapter or dataset version with its parents; None if there is no such folder."""
    long = len(identifier.encode("utf-8", "surrogatepass")) > _LONGEST_NAME
    if long or identifier.startswith(".") or not is_component(identifier):
        return None
    for kind, name in MANIFESTS.items():
        manifest = home / f"{kind}s" / identifier / name
        if not manifest.is_file():
            continue
        content = read_manifest(manifest) or {}
        parents = [parent for parent in parents_of(content) if parent != identifier]
        return {
            "kind": kind,
            "id": identifier,
            "created_at": content.get("created_at"),
            "forced": bool(content.get("forced")) or _was_forced(home, identifier),
            "sources": content.get("sources", []),
            "trajectories": (content.get("extras") or {}).get("trajectories"),
            "parents": [_version(home, parent) or _missing(parent) for parent in parents],
        }
    return None


def _missing(identifier: str) -> Node:
    return {"kind": "missing", "id": identifier, "parents": []}


def _agents(home: Path) -> list[str]:
    """Agents for which an adapter was ever put forward."""
    return sorted({one.agent for one in _candidates(home)})


def _was_forced(home: Path, adapter: str) -> bool:
    """Whether the version was put into service past the gate, for any agent."""
    return any(one.forced for one in _candidates(home) if one.adapter == adapter)


def _candidates(home: Path) -> Sequence[Candidate]:
    """All adapters that were put forward; none if the control database is damaged."""
    from burnish.adapters import Registry

    try:
        return Registry(home).list()
    except BurnishError:
        return []
