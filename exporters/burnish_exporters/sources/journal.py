"""Read the journal of a workspace as a source of spans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from burnish.records import Span, Trajectory


class JournalSource:
    """Yields the spans that were captured into one home folder.

    Args:
        home: Folder of the workspace, the one that holds `journal/`.
    """

    def __init__(self, home: Path | str) -> None:
        self.home = Path(home)

    def trajectories(self, agent: str | None = None) -> Iterator[Trajectory]:
        """Yield assembled trajectories, of one agent or of all, one at a time."""
        from burnish.workspace import Workspace

        yield from Workspace(self.home).trajectories(agent=agent)

    def spans(self, since_ns: int | None = None) -> Iterator[Span]:
        """Yield spans of all trajectories that started at or after `since_ns`, facts included."""
        from burnish.workspace import Workspace

        yield from Workspace(self.home).spans(since_ns)
