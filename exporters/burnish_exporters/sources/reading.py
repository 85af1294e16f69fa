"""One way to read every kind of source.

Knows: a workspace gives trajectories, a span source gives spans, an iterable gives what it holds.
Does not know: which trajectories are good.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from burnish.errors import ExportError
from burnish.protocols import SpanSource
from burnish.records import Trajectory
from burnish.workspace import Workspace


@runtime_checkable
class TrajectorySource(Protocol):
    """Something that gives assembled trajectories, such as a workspace."""

    def trajectories(self, agent: str | None = None) -> Iterator[Trajectory]:
        """Yield trajectories, of one agent or of all."""
        ...


Source = TrajectorySource | SpanSource | Iterable[Trajectory]


def read(source: Source, agent: str) -> Iterator[Trajectory]:
    """Yield the trajectories of a source, one at a time.

    Args:
        source: A workspace, a span source or an iterable of trajectories.
        agent: Whose runs are wanted; a source that cannot choose gives all.

    Raises:
        ExportError: If the source is none of these.
    """
    if isinstance(source, TrajectorySource):
        yield from source.trajectories(agent=agent)
    elif isinstance(source, SpanSource):
        from burnish.trajectories import assemble_many

        yield from assemble_many(source.spans())
    elif isinstance(source, Iterable) and not isinstance(source, (str, bytes, dict)):
        yield from _checked(source)
    else:
        raise _no_source(source)


def workspace_of(source: Source) -> Workspace | None:
    """The workspace behind a source, whose runs can be read one by one; None if there is none."""
    return source if isinstance(source, Workspace) else None


def describe(source: Source) -> dict[str, Any]:
    """What a source is, for the manifest; no path of this machine goes into it."""
    facts: dict[str, Any] = {"kind": type(source).__name__}
    if isinstance(source, (list, tuple)):
        facts["kind"] = "trajectories"
    return facts


def _checked(items: Iterable[Trajectory]) -> Iterator[Trajectory]:
    for item in items:
        if not isinstance(item, Trajectory):
            raise _no_source(item)
        yield item


def _no_source(found: object) -> ExportError:
    return ExportError(
        f"{type(found).__name__} as a source",
        "a Workspace, an object with spans(), or trajectories",
        "build_dataset(burnish.Workspace(), agent=..., verify=[...])",
    )
