"""The bytes of a segment: frames, their check sums, and how to find them again.

Knows: `length u32 · crc32 u32 · kind u8 · payload`, little-endian; the crc covers kind and payload.
Does not know: files, processes, what an event says.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

import msgspec

FORMAT = 2
"""Version of the journal's format that this burnish writes; it reads this and all before."""

HEADER = ord("H")
"""First frame of a segment: a MessagePack map of format, pid, host, started and segment."""
BLOB = ord("B")
"""Sixteen bytes of name, then JSON."""
SPLICED = ord("C")
"""Name, name of a content inside it, u32 offset of that, then the JSON around it."""
LINK = ord("L")
"""Name, name of the link before (or zeros), then references: a part of a list of messages."""
CONTENTS = frozenset((BLOB, SPLICED, LINK))
"""The kinds that begin with a name."""
EVENT = ord("E")
"""One event as `burnish.journal.events.encode` writes it."""
SEAL = ord("Z")
"""Last frame of a segment that nobody writes any more: a MessagePack map of counts."""
ERASED = ord("X")
"""What stood here was removed on somebody's request; the payload is zeros of the same length."""
KINDS = frozenset((HEADER, BLOB, SPLICED, LINK, EVENT, SEAL, ERASED))
"""The kinds that this version knows; frames of other kinds are passed over."""

PREFIX = struct.Struct("<IIB")
REF_BYTES = 16

_SEEDS = [zlib.crc32(bytes((kind,))) for kind in range(256)]
_EVENT_SEED, _BLOB_SEED = _SEEDS[EVENT], _SEEDS[BLOB]
_crc32 = zlib.crc32
_pack = PREFIX.pack


class SegmentHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What the first frame of a segment says."""

    format: int
    pid: int
    host: str
    started: int  # nanoseconds since the epoch, when the process opened its journal
    segment: int
    burnish: str = ""


DAMAGE = 0
"""Stands in the place of a kind where bytes are no frame."""

Found = tuple[int, int, int]
"""Kind of a frame, the offset where it starts, and the offset where the next one does."""


def prefix(kind: int, payload: bytes) -> bytes:
    """The nine bytes before a payload."""
    return _pack(len(payload), _crc32(payload, _SEEDS[kind]), kind)


def add_events(data: list[bytes], payloads: Iterable[bytes]) -> None:
    """Add the frames of events, one after the other."""
    for one in payloads:
        data += (_pack(len(one), _crc32(one, _EVENT_SEED), EVENT), one)


def add_blob(data: list[bytes], ref: bytes, blob: bytes) -> None:
    """Add the frame of a content."""
    crc = _crc32(blob, _crc32(ref, _BLOB_SEED))
    data += (_pack(REF_BYTES + len(blob), crc, BLOB), ref, blob)


def named_frame(kind: int, ref: bytes, content: bytes) -> bytes:
    """The whole frame of a content that is stored in another way."""
    return frame(kind, ref + content)


def frame(kind: int, payload: bytes) -> bytes:
    """A whole frame."""
    return prefix(kind, payload) + payload


def frame_at(data: bytes, offset: int) -> tuple[int, int, int] | None:
    """Kind, first and last offset of the payload of a good frame at `offset`, else None."""
    start = offset + PREFIX.size
    if start > len(data):
        return None
    length, crc, kind = PREFIX.unpack_from(data, offset)
    end = start + length
    if end > len(data):
        return None
    if _crc32(memoryview(data)[start:end], _SEEDS[kind]) != crc:
        return None
    return kind, start, end


def split(data: bytes, *, final: bool = True) -> Iterator[Found]:
    """Frames of `data`, each as kind, start and end; the payload begins nine bytes after start.

    Bytes that are no frame are given as `DAMAGE` up to the next whole frame. What follows the
    last whole frame is not given. With `final` off, more bytes may come: a frame that is not
    whole yet ends the reading.
    """
    offset, size, head = 0, len(data), PREFIX.size
    view, unpack, seeds = memoryview(data), PREFIX.unpack_from, _SEEDS
    while offset + head <= size:
        length, crc, kind = unpack(data, offset)
        end = offset + head + length
        if end <= size and _crc32(view[offset + head : end], seeds[kind]) == crc:
            yield kind, offset, end
            offset = end
            continue
        if not final and end > size:
            return
        again = _next_good(data, offset)
        if again is None:
            return
        yield DAMAGE, offset, again
        offset = again


def erased(size: int) -> bytes:
    """A frame of `size` bytes in all that says nothing."""
    return frame(ERASED, bytes(size - PREFIX.size))


def _next_good(data: bytes, offset: int) -> int | None:
    """Where the next whole frame starts after bytes at `offset` that are none."""
    length = PREFIX.unpack_from(data, offset)[0]
    behind = offset + PREFIX.size + length  # a flipped bit in the payload leaves the length right
    if frame_at(data, behind) is not None:
        return behind
    position = offset + 1
    last = len(data) - PREFIX.size
    while position <= last:
        if data[position + 8] in KINDS and frame_at(data, position) is not None:
            return position
        position += 1
    return None
