"""Read the journal of all processes without locks, also while it is being written.

`read_events` merges the events of all processes by time. `SegmentReader` reads one segment, looks
up its blobs, and skips and counts damage. `is_alive` returns whether a process still writes.
"""

from __future__ import annotations

import contextlib
import heapq
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from burnish._version import __version__
from burnish.errors import JournalCorrupt, JournalError
from burnish.files import platform
from burnish.files.storage import NO_WAIT, open_regular
from burnish.journal import frames, layout
from burnish.journal.content_sharing import inner_of, is_spliced, join, unfold
from burnish.journal.events import (
    UNREADABLE,
    AnyEvent,
    Brief,
    ModelStarted,
    Ref,
    decode,
    decode_brief,
    from_json,
    ref_of,
)
from burnish.records import Json

_CHUNK = 1 << 20
_VALUES = 8192  # decoded blobs that a segment caches
_WINDOW = 1 << 16
_NESTED = 16  # contents inside one another; capture nests two
_T = TypeVar("_T")


class ReadReport(msgspec.Struct, kw_only=True):
    """Problems found during a reading; damage is counted, never raised."""

    segments: int = 0
    events: int = 0
    torn_tails: int = 0  # segments whose last frame is incomplete
    torn_bytes: int = 0
    corrupt: int = 0  # ranges of bytes that are not a frame
    corrupt_bytes: int = 0
    unknown_events: int = 0  # frames whose payload is not a known event
    unreadable: int = 0  # segments and archived tables that could not be opened
    stray: int = 0  # files in journal folders that are not segments
    damaged_files: int = 0  # lists and tombstones that could not be decoded
    lost_events: int = 0  # events that the index lists and the segment no longer holds
    wrong_contents: int = 0  # contents whose bytes do not match their name
    unreadable_runs: int = 0  # runs that could not be assembled
    losses: dict[str, int] = {}  # content that capture could not keep, by kind

    def add(self, other: ReadReport) -> None:
        """Add the counts of another reading."""
        for name in self.__struct_fields__:
            if name != "losses":
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.count_losses(other.losses)

    def count_losses(self, more: Mapping[str, int]) -> None:
        """Add losses that capture counted."""
        if more:
            self.losses = dict(Counter(self.losses) + Counter(more))


class SegmentReader:
    """Read the events and blobs of one segment, and later what was appended since."""

    def __init__(self, path: Path, report: ReadReport | None = None, position: int = 0) -> None:
        """Open a segment at `position`.

        Raises:
            JournalError: If a newer burnish wrote it.
            OSError: If it cannot be opened, or is not a regular file.
        """
        self.path = path
        self.report = report if report is not None else ReadReport()
        self.position = position
        self.sealed = False
        self._fd = open_regular(path)
        self._bad: set[Ref] = set()
        self.gaps: list[int] = []  # damaged ranges that may have held more than one frame
        self._places: dict[Ref, tuple[int, int]] = {}
        self._values: dict[Ref, Json] = {}
        self._window = (0, b"")
        self._neighbours: list[SegmentReader] | None = None
        self._placed_to = 0  # offset up to which blobs are in _places
        self._check_header()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)
            self._fd = -1

    def poll(self, *, final: bool = False) -> Iterator[tuple[int, AnyEvent]]:
        """Yield offset and event of each frame since the last poll.

        With `final`, the segment is closed: an incomplete frame at the end is counted as torn.
        """
        for offset, event in self._decoded(decode, final):
            yield offset, unfold(event, self.own) if type(event) is ModelStarted else event

    def briefs(self, *, final: bool = False) -> Iterator[tuple[int, Brief]]:
        """Yield as `poll` does, with only the fields of each event that an index needs."""
        return self._decoded(decode_brief, final)

    def _decoded(
        self, decoded: Callable[[memoryview], _T], final: bool
    ) -> Iterator[tuple[int, _T]]:
        for kind, start, end, payload in self._items(self.position, final):
            follows = self._placed_to == self.position
            self.position = end
            if follows:
                self._placed_to = end
            if kind == frames.EVENT:
                try:
                    event = decoded(payload)
                except UNREADABLE:
                    self.report.unknown_events += 1
                    continue
                self.report.events += 1
                yield start, event
            elif kind in frames.CONTENTS:
                self._place(kind, payload, start, end)
            elif kind == frames.DAMAGE:
                self.report.corrupt += 1
                self.report.corrupt_bytes += end - start
                if len(payload) != self._length_at(start):
                    self.gaps.append(start)
            elif kind == frames.SEAL:
                self.sealed = True
        if final:
            size = os.fstat(self._fd).st_size
            torn = size - self.position
            self.report.torn_tails += torn > 0 or not size  # the header is incomplete
            self.report.torn_bytes += torn

    def _length_at(self, offset: int) -> int:
        """Return the length field at an offset, damaged or not."""
        return int.from_bytes(os.pread(self._fd, 4, offset), "little")

    def _items(self, base: int, final: bool) -> Iterator[tuple[int, int, int, memoryview]]:
        """Yield kind, start, end and payload of the frames from offset `base` on, read in chunks."""
        pending = b""
        while True:
            chunk = os.pread(self._fd, max(_CHUNK, len(pending)), base + len(pending))
            data = pending + chunk
            view = memoryview(data)
            end = 0
            for kind, start, end in frames.split(
                data, final=final and not chunk, seeds=self._seeds
            ):
                yield kind, base + start, base + end, view[start + frames.PREFIX.size : end]
            pending = data[end:]
            base += end
            if not chunk:
                return

    def event_at(self, offset: int) -> AnyEvent | None:
        """Return the event whose frame starts at `offset`; None if it was erased.

        Raises:
            JournalCorrupt: If there is no readable event at that offset.
        """
        start, window = self._window
        at = offset - start
        found = frames.frame_at(window, at, self._seeds) if at >= 0 else None
        if found is None:  # not whole in the window, or damaged
            window, at = self._window_at(offset)
            found = frames.frame_at(window, at, self._seeds)
        if found is not None and found[0] == frames.ERASED:
            return None
        if found is None or found[0] != frames.EVENT:
            raise self._no_event(offset)
        try:
            event = decode(window[found[1] : found[2]])
        except UNREADABLE as error:
            raise self._no_event(offset) from error
        return unfold(event, self.own) if type(event) is ModelStarted else event

    def _window_at(self, offset: int) -> tuple[bytes, int]:
        """Return bytes with the whole frame at an offset of the file, and its place in them.

        Raises:
            JournalCorrupt: If the file ends before the frame begins.
        """
        first = self._read(offset, frames.PREFIX.size)
        if len(first) < frames.PREFIX.size:
            raise self._no_event(offset)
        start, window = self._window
        at = offset - start
        end = at + frames.PREFIX.size + frames.PREFIX.unpack(first)[0]
        if end > len(window):  # longer than the window
            return os.pread(self._fd, end - at, offset), 0
        return window, at

    def _no_event(self, offset: int) -> JournalCorrupt:
        return JournalCorrupt(
            f"{self.path} holds no readable event at byte {offset}",
            "the event that the index found there",
            "burnish doctor",
        )

    def __getitem__(self, ref: Ref) -> bytes:
        """Return the bytes of a blob.

        Raises:
            KeyError: If the segment does not hold it.
        """
        content = self.own(ref)
        if content is not None:
            return content
        if self._neighbours is None:
            self._neighbours = self._open_neighbours()
        for neighbour in self._neighbours:  # the same name means the same bytes
            content = neighbour.own(ref)
            if content is not None:
                return content
        raise KeyError(ref)

    def _open_neighbours(self) -> list[SegmentReader]:
        number = int(self.path.stem)
        paths = [self.path.with_name(layout.segment_name(n)) for n in (number - 1, number + 1)]
        found = []
        for path in paths:
            with contextlib.suppress(OSError, JournalError):
                found.append(SegmentReader(path, self.report))
        return found

    def own(self, ref: Ref) -> bytes | None:
        """Return the bytes of a blob of this segment, else None.

        Bytes that do not match the name, as in a file that was altered, are counted once and left
        out.
        """
        content = self._stored(ref)
        if content is None or ref_of(content) == ref:
            return content
        if ref not in self._bad:
            self._bad.add(ref)
            self.report.wrong_contents += 1
        return None

    def _stored(self, ref: Ref) -> bytes | None:
        """Return the stored content of a name, with its inner contents filled in."""
        place = self._places.get(ref)
        if place is not None and place[1] >= 0:
            return self._read(*place)
        around: list[bytes] = []
        while len(around) <= _NESTED:  # contents of a damaged segment may contain each other
            place = self._places.get(ref)
            if place is None:
                self._scan()
                place = self._places.get(ref)
            if place is None:
                return None
            offset, size = place
            content = self._read(offset, abs(size))
            if size >= 0:
                for stored in reversed(around):
                    content = join(stored, content)
                return content
            if not is_spliced(content):
                return None
            around.append(content)
            ref = inner_of(content)
        return None

    def value(self, ref: Ref) -> Json:
        """Decode a blob and cache the value; callers share the object and must not change it.

        Raises:
            KeyError: If the segment does not hold it.
        """
        try:
            return self._values[ref]
        except KeyError:
            if len(self._values) >= _VALUES:  # bounds memory for a long segment
                self._values.clear()
            value = self._values[ref] = from_json(self[ref])
            return value

    def values(self, refs: list[Ref]) -> list[Json] | None:
        """Decode these blobs; None if one of them is lost.

        Requests of a run grow at their end, so only the new end is decoded.
        """
        values = self._values
        try:
            for ref in reversed(refs):
                if ref in values:
                    break
                self.value(ref)
            return [values[ref] if ref in values else self.value(ref) for ref in refs]
        except (KeyError, ValueError, RecursionError):
            return None

    def _read(self, offset: int, size: int) -> bytes:
        """Read bytes of the file through a window that neighbours share."""
        start, window = self._window
        if offset < start or offset + size > start + len(window):
            if size > _WINDOW:
                return os.pread(self._fd, size, offset)
            start, window = self._window = (offset, os.pread(self._fd, _WINDOW, offset))
        return window[offset - start : offset - start + size]

    def _scan(self) -> None:
        """Find blobs before the start of reading or after its position."""
        for kind, start, end, payload in self._items(self._placed_to, final=True):
            self._placed_to = end
            if kind in frames.CONTENTS:
                self._place(kind, payload, start, end)

    def _place(self, kind: int, payload: memoryview, start: int, end: int) -> None:
        content = start + frames.PREFIX.size + frames.REF_BYTES
        # the sign distinguishes the kinds
        size = content - end if kind == frames.SPLICED else end - content
        self._places[bytes(payload[: frames.REF_BYTES])] = (content, size)

    def _check_header(self) -> None:
        header = frames.decode_header(os.pread(self._fd, 4096, 0))
        self._seeds = frames.make_seeds(header.salt) if header and header.salt else frames.PLAIN
        if header is not None and header.format > frames.FORMAT:
            raise JournalError(
                f"{self.path} has format {header.format}, written by burnish {header.burnish}",
                f"format {frames.FORMAT} or older, which burnish {__version__} reads",
                "pip install --upgrade burnish",
            )


BlobLookup = SegmentReader
"""Looks up a blob by name: `blobs[ref]` returns its bytes, `blobs.value(ref)` its value."""


def is_alive(folder: Path) -> bool:
    """Return whether the process that writes this folder still runs.

    On a file system without locks, a process of another host counts as running.
    """
    try:
        fd = os.open(folder / "alive", os.O_RDONLY | NO_WAIT)
    except OSError:
        return False
    try:
        state = platform.take_lock(fd, shared=True)
    finally:
        os.close(fd)
    if state == "unsupported":  # a file system without locks; an active journal is never removed
        pid = layout.process_id_of(folder.name)
        return pid is None or platform.is_process_alive(pid)
    return state == "held elsewhere"


def process_folders(home: Path) -> list[Path]:
    """Return the folders of all processes that wrote to the journal, by name."""
    try:
        found = layout.journal_folder(home).iterdir()
        return sorted(path for path in found if path.is_dir() and not path.name.startswith("."))
    except FileNotFoundError:
        return []


def segments(folder: Path) -> list[Path]:
    """Return the segments of one process, oldest first; files with other names are ignored."""
    found = [path for path in folder.glob("*.seg") if layout.SEGMENT.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.stem))


def count_stray(home: Path) -> int:
    """Count the files in the journal's folders that are not segments, such as manual copies."""
    return sum(
        not (path.name == "alive" or layout.SEGMENT.fullmatch(path.name))
        for folder in process_folders(home)
        for path in folder.iterdir()
    )


def open_segment(path: Path, report: ReadReport, position: int = 0) -> SegmentReader | None:
    """Open a segment; return None and count it if it cannot be opened.

    Raises:
        JournalError: If a newer burnish wrote it.
    """
    try:
        reader = SegmentReader(path, report, position)
    except OSError:
        report.unreadable += 1
        return None
    report.segments += 1
    return reader


def read_events(
    home: Path, since_ns: int | None = None, report: ReadReport | None = None
) -> Iterator[tuple[AnyEvent, BlobLookup]]:
    """Yield the events of all processes, merged by time, each with the blobs that it refers to.

    Args:
        home: Folder of the workspace.
        since_ns: Only events from then on.
        report: Receives the counts of the reading, including damage.

    Raises:
        WorkspaceTooNew: If a newer burnish wrote the workspace.
        JournalError: If a newer burnish wrote a segment.
    """
    layout.check_home(home)
    counted = report if report is not None else ReadReport()
    streams = [_read_folder(folder, since_ns or 0, counted) for folder in process_folders(home)]
    return heapq.merge(*streams, key=lambda pair: pair[0].at)


def _read_folder(
    folder: Path, since_ns: int, report: ReadReport
) -> Iterator[tuple[AnyEvent, BlobLookup]]:
    paths = segments(folder)
    for path in paths:
        try:
            if path.stat().st_mtime_ns < since_ns:
                continue
        except OSError:
            continue
        reader = open_segment(path, report)
        if reader is None:
            continue
        final = path != paths[-1] or not is_alive(folder)
        for _, event in reader.poll(final=final):
            if event.at >= since_ns:
                yield event, reader
