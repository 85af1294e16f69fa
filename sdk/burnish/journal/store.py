"""Gives the events of one trajectory, wherever they lie.

Knows: the index, open segments, which events belong together.
Does not know: what they mean (telemetry/projection, trajectories/).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from burnish.errors import JournalCorrupt, JournalError
from burnish.journal.events import AnyEvent, Dropped
from burnish.journal.index.index_sync import GAP
from burnish.journal.index.trajectory_index import FrameOffsets, Index, IndexEntry, Query
from burnish.journal.lifecycle.archived_segments import fetch
from burnish.journal.reader import ReadReport, SegmentReader, is_alive, open_segment

_OPEN_SEGMENTS = 16
_TOGETHER = 256  # trajectories whose places are asked for at once


Pairs = list[tuple[AnyEvent, SegmentReader]]
"""Events, each with the segment that holds what it refers to."""


class Chapter(msgspec.Struct, frozen=True):
    """Events of one trajectory out of one process, in the order of writing."""

    events: Pairs
    alive: bool  # whether that process still writes


class JournalStore:
    """Random access to the trajectories of a workspace."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.index = Index(home)
        self.met = ReadReport()  # by what reads single trajectories
        self._alive: dict[str, bool] = {}
        self._told: set[str] = set()
        self._readers: OrderedDict[Path, SegmentReader] = OrderedDict()

    def report(self) -> ReadReport:
        """What indexing the journal met, and what reading single trajectories met since."""
        total = self.index.report()
        total.lost_events += self.met.lost_events
        total.wrong_contents += self.met.wrong_contents
        total.unreadable_runs += self.met.unreadable_runs
        return total

    def find(self, query: Query) -> list[IndexEntry]:
        """Trajectories that match, oldest first, up to what is written now.

        Raises:
            WorkspaceTooNew: If a newer burnish wrote the workspace.
        """
        self.refresh()
        return self.index.find(query)

    def refresh(self) -> None:
        """Catch up with the journal.

        Raises:
            WorkspaceTooNew: If a newer burnish wrote the workspace.
        """
        self.index.refresh()
        self._alive.clear()
        self._told = self.index.told_threads()

    def close(self) -> None:
        """Let go of open segments and of what was decoded."""
        self._readers.clear()

    def count_anew(self) -> None:
        """Forget what reading single trajectories met, so that the next readings count each fault once."""
        self._readers.clear()
        self.met = ReadReport()

    def walk(self, entries: Sequence[IndexEntry]) -> Iterator[tuple[IndexEntry, list[Chapter]]]:
        """Each of these trajectories with its events."""
        for start in range(0, len(entries), _TOGETHER):
            some = entries[start : start + _TOGETHER]
            places = self.index.places_of([entry.id for entry in some])
            for entry in some:
                yield entry, self._chapters(entry.id, places[entry.id])

    def fingerprint(self, entries: Sequence[IndexEntry]) -> str:
        """Hash of where the frames about these entries lie, those about their threads included."""
        seen = hashlib.blake2b(digest_size=16)
        for start in range(0, len(entries), _TOGETHER):
            some = entries[start : start + _TOGETHER]
            places = self.index.places_of([entry.id for entry in some])
            for entry in some:
                facts = [entry, places[entry.id], self._about_thread(entry.thread_id)]
                seen.update(msgspec.json.encode(facts, enc_hook=str))
        return seen.hexdigest()

    def _about_thread(self, thread_id: str | None) -> list[Any]:
        """Outcomes that name a thread, and the runs that they may be meant for."""
        if thread_id is None or thread_id not in self._told:
            return []
        others = self.index.find(Query(thread_id=thread_id))
        return [self.index.thread_facts(thread_id), [(o.id, o.ended_ns) for o in others]]

    def _chapters(self, trajectory: str, places: list[FrameOffsets]) -> list[Chapter]:
        """Events by process, the earliest process first.

        Events that the index knows and that cannot be read any more are a loss of the trajectory.
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
        """Outcomes that name this thread and no trajectory."""
        found: Pairs = []
        for place in self.index.thread_facts(thread_id):
            pairs, missing = self._read(place)
            found += pairs
            self.met.lost_events += missing
        return found

    def _read(self, place: FrameOffsets) -> tuple[Pairs, int]:
        """The events at a place, and how many of them cannot be read any more."""
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
            except JournalError:  # the archive cannot be reached, or is not what was archived
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
