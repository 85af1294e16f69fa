"""Find and read the events of one trajectory, in open, closed and archived segments.

`JournalStore` combines the index with the segment readers. `trajectories/` and
`telemetry/` interpret the events.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from burnish.errors import JournalCorrupt, JournalError
from burnish.journal.damage import count_damaged_files
from burnish.journal.events import AnyEvent, Dropped
from burnish.journal.index.index_sync import GAP
from burnish.journal.index.trajectory_index import FrameOffsets, Index, IndexEntry, Query
from burnish.journal.lifecycle.archived_segments import fetch
from burnish.journal.reader import ReadReport, SegmentReader, is_alive, open_segment

_OPEN_SEGMENTS = 16
_TOGETHER = 256  # trajectories whose offsets are queried at once


Pairs = list[tuple[AnyEvent, SegmentReader]]
"""Events, each with the segment that resolves its references."""


class Chapter(msgspec.Struct, frozen=True):
    """Events of one trajectory from one process, in the order of writing."""

    events: Pairs
    alive: bool  # whether that process is still running


class JournalStore:
    """Random access to the trajectories of a workspace."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.index = Index(home)
        self.met = ReadReport()  # counts from reading single trajectories
        self._alive: dict[str, bool] = {}
        self._told: set[str] = set()
        self._readers: OrderedDict[Path, SegmentReader] = OrderedDict()

    def report(self) -> ReadReport:
        """Return the counts of indexing the journal, of reading single trajectories since, and of damaged small files."""
        total = self.index.report()
        total.damaged_files = count_damaged_files(self.home)
        total.lost_events += self.met.lost_events
        total.wrong_contents += self.met.wrong_contents
        total.unreadable_runs += self.met.unreadable_runs
        return total

    def find(self, query: Query) -> list[IndexEntry]:
        """Find the trajectories that match, oldest first.

        The index is updated before.

        Raises:
            WorkspaceTooNew: If a newer burnish wrote the workspace.
        """
        self.refresh()
        return self.index.find(query)

    def refresh(self) -> None:
        """Update the index from the journal.

        Raises:
            WorkspaceTooNew: If a newer burnish wrote the workspace.
        """
        self.index.refresh()
        self._alive.clear()
        self._told = self.index.told_threads()

    def close(self) -> None:
        """Close open segments and drop decoded values."""
        self._readers.clear()

    def count_anew(self) -> None:
        """Reset the counts of reading, so that the next readings count each fault once."""
        self._readers.clear()
        self.met = ReadReport()

    def walk(self, entries: Sequence[IndexEntry]) -> Iterator[tuple[IndexEntry, list[Chapter]]]:
        """Yield each of these trajectories with its events."""
        for start in range(0, len(entries), _TOGETHER):
            some = entries[start : start + _TOGETHER]
            places = self.index.places_of([entry.id for entry in some])
            for entry in some:
                yield entry, self._chapters(entry.id, places[entry.id])

    def fingerprint(self, entries: Sequence[IndexEntry]) -> str:
        """Hash the offsets of the frames of these entries, including frames about their threads."""
        seen = hashlib.blake2b(digest_size=16)
        for start in range(0, len(entries), _TOGETHER):
            some = entries[start : start + _TOGETHER]
            places = self.index.places_of([entry.id for entry in some])
            for entry in some:
                facts = [entry, places[entry.id], self._about_thread(entry.thread_id)]
                seen.update(msgspec.json.encode(facts, enc_hook=str))
        return seen.hexdigest()

    def _about_thread(self, thread_id: str | None) -> list[Any]:
        """Return the offsets of outcomes that name a thread, and of the runs of that thread."""
        if thread_id is None or thread_id not in self._told:
            return []
        others = self.index.find(Query(thread_id=thread_id))
        return [self.index.thread_facts(thread_id), [(o.id, o.ended_ns) for o in others]]

    def _chapters(self, trajectory: str, places: list[FrameOffsets]) -> list[Chapter]:
        """Group events by process, the earliest process first.

        Events in the index that can no longer be read count as a loss of the trajectory.
        """
        folders: dict[str, Pairs] = {}
        lost = 0
        for place in places:
            pairs, missing = self._read(place)
            folders.setdefault(str(place.path.parent), []).extend(pairs)
            lost += missing
        if lost:
            self.met.lost_events += lost
            pairs = next((pairs for pairs in folders.values() if pairs), None)
            if pairs is not None:
                at, reader = pairs[-1][0].at, pairs[-1][1]
                counts = {"unreadable_events": lost}
                pairs.append((Dropped(at=at, trajectory=trajectory, counts=counts), reader))
        found = [
            Chapter(events, self._is_alive(folder)) for folder, events in folders.items() if events
        ]
        return sorted(found, key=_first_time) if len(found) > 1 else found

    def _is_alive(self, folder: str) -> bool:
        if folder not in self._alive:
            self._alive[folder] = is_alive(Path(folder))
        return self._alive[folder]

    def thread_outcomes(self, thread_id: str) -> Pairs:
        """Return the outcomes that name this thread and no trajectory."""
        found: Pairs = []
        for place in self.index.thread_facts(thread_id):
            pairs, missing = self._read(place)
            found += pairs
            self.met.lost_events += missing
        return found

    def _read(self, place: FrameOffsets) -> tuple[Pairs, int]:
        """Read the events at these offsets, and count those that can no longer be read."""
        reader = self._reader(place.path)
        if reader is None:
            return [], len(place.offsets)
        found: Pairs = []
        missing = 0
        for offset in place.offsets:
            try:
                event = None if offset == GAP else reader.event_at(offset)
                missing += offset == GAP
            except JournalCorrupt:
                missing += 1
                continue
            if event is not None:
                found.append((event, reader))
        return found, missing

    def _reader(self, place: Path) -> SegmentReader | None:
        path = place
        reader = self._readers.get(place)
        if reader is None:
            try:
                if not path.exists():
                    path = fetch(self.home, f"{path.parent.name}/{path.name}") or path
                reader = open_segment(path, self.met)
            except JournalError:  # the archive is unreachable, or its content changed
                reader = None
            if reader is None:
                return None
            self._readers[place] = reader
            if len(self._readers) > _OPEN_SEGMENTS:
                self._readers.popitem(last=False)
        self._readers.move_to_end(place)
        return reader


def _first_time(chapter: Chapter) -> int:
    return chapter.events[0][0].at
