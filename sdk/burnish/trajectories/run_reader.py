"""Read the trajectories that a workspace's journal holds.

`RunReader` is the entry; `burnish.Workspace` adds what writes, archives and forgets.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from burnish import settings
from burnish.errors import WorkspaceError
from burnish.journal import layout
from burnish.journal.index.trajectory_index import IndexEntry, JournalChanges, Query
from burnish.journal.reader import ReadReport
from burnish.journal.store import Chapter, JournalStore
from burnish.records import Outcome, Span, Trajectory, Verdict
from burnish.telemetry.spans.projection import Projector, project_events
from burnish.trajectories.assembly import TrajectoryParts, assemble_parts
from burnish.trajectories.facts import (
    EndedTrajectory,
    concerns_trajectory,
    read_outcome,
    read_verdict,
    select_newest_outcomes,
)

_LOG = logging.getLogger("burnish.workspace")

Since = int | float | dt.datetime | dt.timedelta
"""A time: nanoseconds since the epoch, a datetime, or a time before now."""


_FIRST_NS, _LAST_NS = -(2**63), 2**63 - 1  # range of the index


class RunReader:
    """Reads the runs of one deployment's folder, default `BURNISH_HOME`, else `.burnish/`.

    Reading never locks and never waits for a process that writes.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        """Open the folder of a workspace.

        Raises:
            WorkspaceTooNew: If a newer burnish wrote it.
        """
        home = settings.current().home if path is None else Path(path)
        self.home = home.expanduser().absolute()
        layout.check_home(self.home)
        self._store = JournalStore(self.home)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.home)!r})"

    def trajectories(
        self,
        agent: str | None = None,
        since: Since | None = None,
        source: str | None = None,
        status: str | None = None,
    ) -> Iterator[Trajectory]:
        """Yield matching trajectories, oldest first.

        Args:
            agent: Name of the agent.
            since: Earliest start time.
            source: production, rollout, evaluation, ...
            status: completed, failed, interrupted, cancelled, abandoned or running.

        Raises:
            WorkspaceTooNew: If a newer burnish wrote the workspace.
        """
        query = Query(agent=agent, since_ns=to_nanoseconds(since), source=source, status=status)
        yield from self.read(self._store.find(query))

    def trajectory(self, trajectory_id: str) -> Trajectory:
        """Return one trajectory, by its id or a prefix of it.

        Raises:
            WorkspaceError: If no trajectory or more than one matches.
        """
        self._store.refresh()
        entries = self._store.index.starting_with(trajectory_id) if trajectory_id else []
        if len(entries) > 1:
            raise WorkspaceError(
                f"{len(entries)} trajectories in {self.home} begin with {trajectory_id!r}",
                "a longer beginning, or the whole id",
                "burnish traces list",
            )
        found = [
            self._try_assemble(entry, chapters) for entry, chapters in self._store.walk(entries)
        ]
        trajectory = found[0] if found else None
        if trajectory is None and entries:
            raise WorkspaceError(
                f"trajectory {entries[0].id} in {self.home} cannot be read",
                "events that can be assembled",
                "burnish doctor",
            )
        if trajectory is None:
            raise WorkspaceError(
                f"no trajectory {trajectory_id!r} in {self.home}",
                "the id of a recorded trajectory, or its beginning",
                "burnish traces list",
            )
        return trajectory

    def entries(self, query: Query | None = None) -> list[IndexEntry]:
        """Return the index entries of matching trajectories, without reading them."""
        return self._store.find(query or Query())

    def agents(self) -> list[str]:
        """Return the names of the agents with runs."""
        self._store.refresh()
        return self._store.index.list_agents()

    def changes_since(self, positions: Mapping[str, int]) -> JournalChanges:
        """Return the trajectories and threads with new events since the positions of an earlier answer."""
        self._store.refresh()
        return self._store.index.changes_since(positions)

    def positions(self) -> dict[str, int]:
        """Return where the journal ends now, as `changes_since` takes it."""
        self._store.refresh()
        return self._store.index.read_positions()

    def thread_outcomes(self, thread_id: str) -> list[Outcome]:
        """Return the newest outcome of each source that names this thread and no trajectory."""
        return select_newest_outcomes(self._thread_facts(thread_id))

    def reported_facts(self, entries: Sequence[IndexEntry]) -> Iterator[Outcome | Verdict]:
        """Yield every outcome and verdict about these entries and their threads, replaced ones too."""
        self._store.refresh()
        for entry, chapters in self._store.walk(entries):
            parts = TrajectoryParts(entry.id)
            for span in self._project_spans(entry, chapters):
                parts.add(span)
            yield from map(read_outcome, parts.facts.get("outcome", ()))
            yield from map(read_verdict, parts.facts.get("verdict", ()))
        for thread_id in {entry.thread_id for entry in entries if entry.thread_id is not None}:
            yield from map(read_outcome, self._thread_facts(thread_id))

    def _thread_facts(self, thread_id: str) -> list[Span]:
        """Return the spans of outcomes that name this thread and no trajectory."""
        projector = Projector()
        spans = [
            projector.add_event(event, blobs)
            for event, blobs in self._store.thread_outcomes(thread_id)
        ]
        return [span for span in spans if span is not None]

    def read(self, entries: Sequence[IndexEntry]) -> Iterator[Trajectory]:
        """Yield the trajectories of these entries, in order."""
        self._store.refresh()
        for entry, chapters in self._store.walk(entries):
            trajectory = self._try_assemble(entry, chapters)
            if trajectory is not None:
                yield trajectory

    def fingerprint(self, entries: Sequence[IndexEntry]) -> str:
        """Hash the positions of everything recorded about these entries, 32 hex digits.

        The hash changes whenever an event, an outcome or a verdict about one of them is added.
        """
        return self._store.fingerprint(entries)

    def spans(self, since_ns: int | None = None) -> Iterator[Span]:
        """Yield spans, facts included, of all trajectories that started at or after `since_ns`."""
        query = Query(since_ns=to_nanoseconds(since_ns))
        for entry, chapters in self._store.walk(self._store.find(query)):
            try:
                found = list(self._project_spans(entry, chapters))
            except Exception as error:  # noqa: BLE001 - one bad run must not end the reading
                self._count_unreadable(entry, error)
                continue
            yield from found

    def read_report(self) -> ReadReport:
        """Read every run and report segments, events and damage of the journal."""
        self._store.count_anew()
        for _ in self.read(self.entries()):
            pass
        return self._store.report()

    def losses(self) -> dict[str, int]:
        """Return what capture could not keep, by kind, over the whole journal."""
        self._store.index.refresh()
        return self._store.report().losses

    def threads_without_run(self) -> set[str]:
        """Return the threads with an outcome and without a run in this workspace."""
        self._store.refresh()
        recorded = {entry.thread_id for entry in self.entries()}
        return self._store.index.told_threads() - recorded

    def rebuild_index(self) -> None:
        """Delete the index and rebuild it from the journal."""
        self._store.index.rebuild()

    def _try_assemble(self, entry: IndexEntry, chapters: list[Chapter]) -> Trajectory | None:
        """Assemble one trajectory; count it and return None if that fails."""
        try:
            trajectory = self._assemble_entry(entry, chapters)
        except Exception as error:  # noqa: BLE001 - one bad run must not end the reading
            self._count_unreadable(entry, error)
            return None
        if trajectory is None:
            self._store.met.unreadable_runs += 1
        return trajectory

    def _count_unreadable(self, entry: IndexEntry, error: Exception) -> None:
        self._store.met.unreadable_runs += 1
        _LOG.warning("trajectory %s of %s cannot be read: %r", entry.id, self.home, error)

    def _assemble_entry(self, entry: IndexEntry, chapters: list[Chapter]) -> Trajectory | None:
        parts = TrajectoryParts(entry.id)
        for span in self._project_spans(entry, chapters):
            parts.add(span)
        return assemble_parts(parts)

    def _project_spans(self, entry: IndexEntry, chapters: list[Chapter]) -> Iterator[Span]:
        for chapter in chapters:
            yield from project_events(chapter.events, alive=chapter.alive)
        if entry.thread_id is None:
            return
        outcomes = self._store.thread_outcomes(entry.thread_id)
        if not outcomes:
            return
        others = self._store.index.find(Query(thread_id=entry.thread_id))
        thread = [EndedTrajectory(other.id, other.ended_ns) for other in others]
        projector = Projector()
        for event, blobs in outcomes:
            span = projector.add_event(event, blobs)
            if span is not None and concerns_trajectory(span, entry.id, thread):
                yield span


def to_nanoseconds(since: Since | None) -> int | None:
    """Convert a time to nanoseconds since the epoch, within 64 bits; a naive datetime is local time.

    Raises:
        WorkspaceError: If it is not a time.
    """
    try:
        if since is None:
            return None
        if isinstance(since, dt.timedelta):
            found = time.time_ns() - int(since.total_seconds() * 1e9)
        elif isinstance(since, dt.datetime):
            found = int(since.timestamp() * 1e9)
        else:
            found = int(min(max(since, _FIRST_NS), _LAST_NS))
    except (ValueError, OverflowError, OSError, TypeError) as error:
        raise WorkspaceError(
            f"since={since!r} is not a time: {error}",
            "nanoseconds since the epoch, a datetime or a timedelta",
            "workspace.trajectories(since=datetime.timedelta(days=1))",
        ) from error
    return min(max(found, _FIRST_NS), _LAST_NS)
