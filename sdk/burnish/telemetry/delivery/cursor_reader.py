"""Read the spans of one process that an exporter has not received yet, in journal order.

`CursorReader.read_spans` is the entry.
"""

# How it works: a mark names a position (segment, offset) and a floor. The floor is the first segment
# whose events are still needed, because a span opened there is unfinished or held back by sampling.
# After a restart reading begins at the floor, and spans before the position are not yielded again.

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from burnish.errors import JournalError
from burnish.journal.cursor import Cursor
from burnish.journal.reader import ReadReport, SegmentReader, is_alive, open_segment, segments
from burnish.records import Span
from burnish.telemetry import semconv as s
from burnish.telemetry.spans.projection import Projector

_FAILED = ("failed", "abandoned")
_STARTS = "RNMT"  # tags of the events that begin a span


class JournalMark(msgspec.Struct, frozen=True):
    """The journal position after an event."""

    segment: int
    offset: int
    floor: int
    finished: bool = False


class Sampler:
    """Selects trajectories to ship: a share of all, and every failure.

    Spans of a trajectory outside the share are held until its end shows whether it failed.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.left_out = 0
        self._held: dict[str, list[Span]] = {}
        self._since: dict[str, int] = {}
        self._kept: set[str] = set()

    def choose_spans(self, span: Span, segment: int) -> list[Span]:
        """Return the spans to ship now."""
        trajectory = span.attributes.get(s.TRAJECTORY)
        if self.share >= 1 or trajectory is None or self._is_sampled(trajectory):
            return [span]
        if trajectory in self._kept:
            return [span]
        held = self._held.setdefault(trajectory, [])
        self._since.setdefault(trajectory, segment)
        held.append(span)
        failed = span.status == "error" or span.attributes.get(s.STATUS) in _FAILED
        failed = failed or span.attributes.get(s.SUCCESS) is False
        if failed:
            self._kept.add(trajectory)
        if not (failed or span.kind in ("agent", "fact")):
            return []
        del self._held[trajectory], self._since[trajectory]
        if failed:
            return held
        self.left_out += len(held)
        return []

    def find_floor(self, segment: int) -> int:
        """Return the first segment whose spans are still held back."""
        return min(self._since.values(), default=segment)

    def _is_sampled(self, trajectory: str) -> bool:
        digest = hashlib.blake2b(trajectory.encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.share * 2**64


class CursorReader:
    """Reads the spans of one process folder, from a cursor on."""

    def __init__(self, folder: Path, cursor: Cursor, share: float = 1.0) -> None:
        self.folder = folder
        self.report = ReadReport()
        self._start = (cursor.segment, cursor.offset)
        self._number = min(cursor.floor, cursor.segment)
        self._projector = Projector()
        self._sampler = Sampler(share)
        self._reader: SegmentReader | None = None
        self._opened: dict[str, int] = {}
        self.finished = cursor.finished

    @property
    def sampled_out(self) -> int:
        """Number of spans that sampling has left out so far."""
        return self._sampler.left_out

    def read_spans(self) -> Iterator[tuple[Span | None, JournalMark]]:
        """Yield the spans since the last reading, each with the journal position after it.

        A mark without a span says that everything up to it is handled.
        """
        while not self.finished:
            alive = is_alive(self.folder)  # asked before reading: a dead process writes no more
            reader = self._open_reader()
            if reader is not None:
                yield from self._read_segment(reader, final=not alive)
            following = self._find_next_segment()
            if following is None:
                if not alive:
                    yield from self._read_unfinished()
                return
            if reader is not None and not reader.sealed:  # its last frames were written meanwhile
                yield from self._read_segment(reader, final=True)
            self._number = following
            self._reader = None

    def _open_reader(self) -> SegmentReader | None:
        if self._reader is None:
            numbers = [int(path.stem) for path in segments(self.folder)]
            later = [number for number in numbers if number >= self._number]
            if not later:
                return None
            self._number = later[0]
            self._reader = open_segment(self.folder / f"{later[0]:06d}.seg", self.report)
        return self._reader

    def _find_next_segment(self) -> int | None:
        numbers = [int(path.stem) for path in segments(self.folder)]
        return min((number for number in numbers if number > self._number), default=None)

    def _read_segment(
        self, reader: SegmentReader, *, final: bool
    ) -> Iterator[tuple[Span | None, JournalMark]]:
        for _, event in reader.poll(final=final):
            span = self._projector.add_event(event, reader)
            identity = getattr(event, "span", None)
            if identity is not None:
                if span is None:
                    self._opened[identity] = self._number
                else:
                    self._opened.pop(identity, None)
            mark = self._mark_position(reader)
            chosen = [] if span is None else self._sampler.choose_spans(span, self._number)
            if (mark.segment, mark.offset) <= self._start:
                continue  # the exporter has it already; it was read again for the spans open then
            for item in chosen:
                yield item, mark
            if not chosen:
                yield None, mark

    def _mark_position(self, reader: SegmentReader) -> JournalMark:
        floor = min(self._opened.values(), default=self._number)
        floor = min(floor, self._sampler.find_floor(self._number))
        return JournalMark(self._number, reader.position, floor)

    def _read_unfinished(self) -> Iterator[tuple[Span | None, JournalMark]]:
        """Yield the spans that a process left open when it died."""
        self.finished = True
        position = self._reader.position if self._reader is not None else 0
        mark = JournalMark(self._number, position, self._number, finished=True)
        for span in self._projector.project_unfinished(alive=False):
            for item in self._sampler.choose_spans(span, self._number):
                yield item, mark
        yield None, mark


def count_spans_after(folder: Path, cursor: Cursor) -> int:
    """Count the events behind a cursor that end spans: an estimate of the spans."""
    count = 0
    if cursor.finished:
        return 0
    for path in segments(folder):
        number = int(path.stem)
        if number < cursor.segment:
            continue
        try:
            position = cursor.offset if number == cursor.segment else 0
            reader = open_segment(path, ReadReport(), position)
        except JournalError:
            continue
        if reader is not None:
            count += sum(brief.k not in _STARTS for _, brief in reader.briefs())
    return count


def count_bytes_after(folder: Path, cursor: Cursor) -> int:
    """Return how many bytes of a journal lie behind a cursor."""
    if cursor.finished:
        return 0
    sizes = {int(path.stem): path.stat().st_size for path in segments(folder)}
    behind = sum(size for number, size in sizes.items() if number >= cursor.segment)
    return behind - min(cursor.offset, sizes.get(cursor.segment, 0))
