"""Trace the lineage of a span, trajectory, row, dataset, adapter, prompt or deployment.

`trace_lineage` is the entry. Each node is a dict with `kind` and `id`; `parents` holds its origins and `children` what
was made from it, recursively.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from burnish.adapters.prompt_store import PromptStore
from burnish.errors import BurnishError, RegistryError, WorkspaceError
from burnish.files.artefacts import (
    MANIFESTS,
    find_unreadable,
    list_parents,
    list_row_files,
    read_columns,
    read_manifest,
)
from burnish.files.paths import is_component
from burnish.records import Span, Trajectory

if TYPE_CHECKING:
    from burnish.adapters.registry import Candidate

Node = dict[str, Any]

_SHORTEST_SPAN = 16  # hex digits
_LONGEST_NAME = 255  # bytes of a file's name


class LineageWorkspace(Protocol):
    """The part of a workspace that lineage reads."""

    home: Path

    def trajectory(self, trajectory_id: str) -> Trajectory:
        """Return one trajectory; raise WorkspaceError if it is missing."""
        ...

    def spans(self, since_ns: int | None = None) -> Iterator[Span]:
        """Yield the spans of all trajectories."""
        ...


def trace_lineage(workspace: LineageWorkspace, identifier: str) -> Node:
    """Return the node of an identifier, with its parents and children.

    Unreadable files are skipped and listed in the node under `unread`.

    Args:
        workspace: The workspace.
        identifier: Id of an adapter, prompt or dataset version, name of a deployed agent, or id of a row, a trajectory
            (or its beginning) or a span.

    Raises:
        WorkspaceError: If the workspace holds nothing of that name.
    """
    found = _find_node(workspace, identifier)
    unread = [*find_unreadable(workspace.home), *PromptStore(workspace.home).find_altered()]
    return {**found, "unread": [str(path) for path in unread]} if unread else found


def _find_node(workspace: LineageWorkspace, identifier: str) -> Node:
    home = workspace.home
    version = _find_version(home, identifier)
    if version is not None:
        return {**version, "children": _list_children(home, version["kind"], identifier)}
    deployed = _find_deployment(home, identifier)
    if deployed is not None:
        return {**deployed, "children": []}
    try:
        trajectory = workspace.trajectory(identifier)
    except WorkspaceError:
        found = _find_row(workspace, identifier) or _find_span(workspace, identifier)
        if found is None:
            raise
        return found
    return {**_describe_run(home, trajectory), "children": _rows_of(home, trajectory.id)}


def _describe_run(home: Path, trajectory: Trajectory) -> Node:
    """Describe a trajectory, with the adapters and prompts that its replies were written with as parents."""
    adapters = sorted({p.adapter for p in trajectory.policies if p.adapter})
    prompts = sorted({p.prompt for p in trajectory.policies if p.prompt})
    return {
        "kind": "trajectory",
        "id": trajectory.id,
        "agent": trajectory.agent,
        "policies": [policy.adapter for policy in trajectory.policies],
        "parents": [
            made
            for name in (*adapters, *prompts)
            if (made := _find_version(home, name)) is not None
        ],
    }


def _find_span(workspace: LineageWorkspace, identifier: str) -> Node | None:
    """Find a span by reading the whole journal."""
    if len(identifier) != _SHORTEST_SPAN:
        return None
    span = next((span for span in workspace.spans() if span.span_id == identifier), None)
    if span is None:
        return None
    trajectory = workspace.trajectory(
        str(span.attributes.get("burnish.trajectory.id") or span.trace_id)
    )
    run = {
        **_describe_run(workspace.home, trajectory),
        "children": _rows_of(workspace.home, trajectory.id),
    }
    facts = {"kind": "span", "id": identifier, "name": span.name}
    return {**facts, "parents": run["parents"], "children": [{**run, "parents": []}]}


def _find_row(workspace: LineageWorkspace, identifier: str) -> Node | None:
    """Find a row of a dataset, with its run as parent."""
    found = list(_iterate_rows(workspace.home, "row_id", identifier))
    if not found:
        return None
    _, _, run_id = found[0]
    try:
        parent = _describe_run(workspace.home, workspace.trajectory(run_id))
    except WorkspaceError:  # its run was forgotten or has expired
        parent = _make_missing(run_id)
    datasets = [_describe_with_children(workspace.home, "dataset", name) for name, _, _ in found]
    return {"kind": "row", "id": identifier, "parents": [parent], "children": datasets}


def _rows_of(home: Path, trajectory_id: str) -> list[Node]:
    """List the rows made of a run, each with the datasets that hold it."""
    holders: dict[str, list[str]] = {}
    for dataset, row, _ in _iterate_rows(home, "trajectory_id", trajectory_id):
        holders.setdefault(row, []).append(dataset)
    return [
        {
            "kind": "row",
            "id": row,
            "children": [_describe_with_children(home, "dataset", d) for d in datasets],
        }
        for row, datasets in sorted(holders.items())
    ]


def _iterate_rows(home: Path, column: str, value: str) -> Iterator[tuple[str, str, str]]:
    """Yield dataset, row and trajectory of the rows with a value in a column."""
    for path in list_row_files(home):
        for row in read_columns(path, ["row_id", "trajectory_id"]) or ():
            if row[column] == value:
                yield path.parent.parent.name, row["row_id"], row["trajectory_id"]


def _describe_with_children(home: Path, kind: str, identifier: str) -> Node:
    """Describe a version with its children."""
    return {"kind": kind, "id": identifier, "children": _list_children(home, kind, identifier)}


def _list_children(home: Path, kind: str, identifier: str) -> list[Node]:
    """List what names a version as its parent: versions, and agents served by it."""
    found = [
        _describe_with_children(home, other, path.parent.name)
        for other, name in MANIFESTS.items()
        for path in sorted(home.glob(f"{other}s/[!.]*/{name}"))
        if path.parent.name != identifier and identifier in list_parents(read_manifest(path) or {})
    ]
    if kind != "dataset":
        for agent in _list_agents(home):
            deployed = _find_deployment(home, agent) or {"parents": []}
            told = [parent for parent in deployed["parents"] if parent["id"] == identifier]
            found += [
                {"kind": "deployment", "id": agent, "as": parent["as"], "children": []}
                for parent in told
            ]
    return found


def _find_deployment(home: Path, agent: str) -> Node | None:
    """Return the deployment of an agent from its control document; None if it has none."""
    from burnish.adapters.control import SqlControlStore

    if not (home / "control.sqlite").exists():
        return None
    try:
        document, version = SqlControlStore(home).read(agent)
    except BurnishError:  # a damaged database is listed under `unread`
        return None
    if not version:
        return None
    arms = {arm: document.get(arm) for arm in ("stable", "canary")}
    served = [
        (arm, told[kind])
        for arm, told in arms.items()
        for kind in ("adapter", "prompt")
        if told and told.get(kind)
    ]
    parents = [
        {**(_find_version(home, name) or _make_missing(name)), "as": arm} for arm, name in served
    ]
    return {"kind": "deployment", "id": agent, "state": document.get("state"), "parents": parents}


def _find_version(home: Path, identifier: str) -> Node | None:
    """Return an adapter, prompt or dataset version with its parents; None if it does not exist."""
    long = len(identifier.encode("utf-8", "surrogatepass")) > _LONGEST_NAME
    if long or identifier.startswith(".") or not is_component(identifier):
        return None
    for kind, name in MANIFESTS.items():
        manifest = home / f"{kind}s" / identifier / name
        if not manifest.is_file():
            continue
        content = read_manifest(manifest) or {}
        parents = [parent for parent in list_parents(content) if parent != identifier]
        return {
            "kind": kind,
            "id": identifier,
            "created_at": content.get("created_at"),
            "forced": bool(content.get("forced")) or _was_forced(home, identifier),
            "gate": _list_decisions(home, identifier) if kind == "adapter" else [],
            "unready": _list_overridden(home, identifier) if kind == "adapter" else [],
            "sources": content.get("sources", []),
            "trajectories": (content.get("extras") or {}).get("trajectories"),
            "parents": [_find_version(home, parent) or _make_missing(parent) for parent in parents],
        }
    return _find_prompt(home, identifier)


def _find_prompt(home: Path, identifier: str) -> Node | None:
    """Return a prompt version, which has no parents; None if it does not exist or was altered."""
    try:
        version = PromptStore(home).get(identifier)
    except RegistryError:
        return None
    return {
        "kind": "prompt",
        "id": identifier,
        "agent": version.agent,
        "created_at": version.created_at,
        "forced": _was_forced(home, identifier),
        "gate": _list_decisions(home, identifier),
        "parents": [],
    }


def _make_missing(identifier: str) -> Node:
    return {"kind": "missing", "id": identifier, "parents": []}


def _list_agents(home: Path) -> list[str]:
    """List the agents with a registered candidate."""
    return sorted({one.agent for one in _list_candidates(home)})


def _was_forced(home: Path, version: str) -> bool:
    """Return True if the adapter or prompt was forced past the gate for any agent."""
    return any(one.forced for one in _list_candidates(home) if version in (one.adapter, one.prompt))


def _list_decisions(home: Path, version: str) -> list[Node]:
    """List the gate's decisions on an adapter or prompt, oldest first; empty if the control database is damaged."""
    return _list_actions(home, version, "decided")


def _list_overridden(home: Path, adapter: str) -> list[str]:
    """List what readiness found to block the training of a version, which was forced."""
    actions = _list_actions(home, adapter, "unready")
    return list(dict.fromkeys(finding for one in actions for finding in one.get("findings", ())))


def _list_actions(home: Path, version: str, action: str) -> list[Node]:
    """List the actions on a version in the audit trail, oldest first; empty if the database is damaged."""
    from burnish.adapters import Registry

    try:
        found = [one for one in Registry(home).audit() if one["action"] == action]
    except BurnishError:
        return []
    return [
        {"agent": one["agent"], "at_ns": one["at_ns"], **details}
        for one in found
        if isinstance(details := one["detail"], dict)
        and version in (details.get("adapter"), details.get("prompt"))
    ]


def _list_candidates(home: Path) -> Sequence[Candidate]:
    """List all registered candidates; empty if the control database is damaged."""
    from burnish.adapters import Registry

    try:
        return Registry(home).list()
    except BurnishError:
        return []
