"""Read every kind of source in one way.

A workspace yields trajectories, a span source yields spans, an iterable yields its items. `read_trajectories` is the
entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, cast, runtime_checkable

from burnish.errors import ExportError
from burnish.protocols import SpanSource
from burnish.records import Trajectory
from burnish.trajectories.run_reader import RunReader


@runtime_checkable
class TrajectorySource(Protocol):
    """A source that yields assembled trajectories, such as a workspace."""

    def trajectories(self, agent: str | None = None) -> Iterator[Trajectory]:
        """Yield trajectories, of one agent or of all."""
        ...


Source = TrajectorySource | SpanSource | Iterable[Trajectory]


def read_trajectories(source: Source, agent: str) -> Iterator[Trajectory]:
    """Yield the trajectories of a source, one at a time.

    Args:
        source: A workspace, a span source or an iterable of trajectories.
        agent: Agent whose runs are wanted; a source that cannot filter yields all.

    Raises:
        ExportError: If the source has another type.
    """
    if isinstance(source, TrajectorySource):
        yield from source.trajectories(agent=agent)
    elif isinstance(source, SpanSource):
        from burnish.trajectories import assemble_many

        yield from assemble_many(source.spans())
    elif isinstance(cast("object", source), Iterable) and not isinstance(
        source, (str, bytes, dict)
    ):
        yield from _check_items(source)
    else:
        raise _source_error(source)


def workspace_of(source: Source) -> RunReader | None:
    """Return the workspace behind a source, whose runs can be read one by one; None for other sources."""
    return source if isinstance(source, RunReader) else None


def describe_source(source: Source) -> dict[str, Any]:
    """Describe a source for the manifest, without paths of this machine."""
    facts: dict[str, Any] = {"kind": type(source).__name__}
    if isinstance(source, (list, tuple)):
        facts["kind"] = "trajectories"
    return facts


def _check_items(items: Iterable[Trajectory]) -> Iterator[Trajectory]:
    for item in items:
        if not isinstance(cast("object", item), Trajectory):
            raise _source_error(item)
        yield item


def _source_error(found: object) -> ExportError:
    return ExportError(
        f"{type(found).__name__} as a source",
        "a Workspace, an object with spans(), or trajectories",
        "build_dataset(burnish.Workspace(), agent=..., verify=[...])",
    )
