"""The bytes of a segment: frames, their check sums, and how to find them again.

Knows: `length u32 · crc32 u32 · kind u8 · payload`, little-endian; the crc covers kind and payload.
Does not know: files, processes, what an event says.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import msgspec

FORMAT = 1
"""Version of the journal's format that this burnish writes; it reads this and all before."""

HEADER = ord("H")
"""First frame of a segment: a MessagePack map of format, pid, host, started and segment."""
BLOB = ord("B")
"""Sixteen bytes of name, then canonical JSON."""
EVENT = ord("E")
"""One event as `burnish.journal.events.encode` writes it."""
SEAL = ord("Z")
"""Last frame of a segment that nobody writes any more: a MessagePack map of counts."""
KINDS = frozenset((HEADER, BLOB, EVENT, SEAL))

PREFIX = struct.Struct("<IIB")
REF_BYTES = 16

_SEEDS = {kind: zlib.crc32(bytes((kind,))) for kind in KINDS}
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


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One whole frame; `end` is the offset of the next."""

    kind: int
    start: int
    end: int
    payload: bytes


class Damage(msgspec.Struct, frozen=True):
    """Bytes between two offsets that are no frame."""

    start: int
    end: int


def prefix(kind: int, payload: bytes) -> bytes:
    """The nine bytes before a payload."""
    return _pack(len(payload), _crc32(payload, _SEEDS[kind]), kind)


def blob_prefix(ref: bytes, blob: bytes) -> bytes:
    """The nine bytes before a blob's payload, and its name."""
    return _pack(REF_BYTES + len(blob), _crc32(blob, _crc32(ref, _SEEDS[BLOB])), BLOB) + ref


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
    if kind not in KINDS or end > len(data):
        return None
    if _crc32(memoryview(data)[start:end], _SEEDS[kind]) != crc:
        return None
    return kind, start, end


def split(data: bytes, base: int = 0, *, final: bool = True) -> Iterator[Frame | Damage]:
    """Frames of `data`, whose first byte stands at offset `base` of its segment.

    Bytes that are no frame are given as `Damage` up to the next whole frame. What follows the
    last whole frame is not given. With `final` off, more bytes may come: a frame that is not
    whole yet ends the reading.
    """
    offset = 0
    size = len(data)
    while offset < size:
        found = frame_at(data, offset)
        if found is None:
            again = _next_good(data, offset) if final or not _may_grow(data, offset) else None
            if again is None:
                return
            yield Damage(base + offset, base + again)
            offset = again
            continue
        kind, start, end = found
        yield Frame(kind, base + offset, base + end, data[start:end])
        offset = end


def _may_grow(data: bytes, offset: int) -> bool:
    """Whether the bytes at `offset` could be the beginning of a frame that is being written."""
    start = offset + PREFIX.size
    if start > len(data):
        return True
    length, _, kind = PREFIX.unpack_from(data, offset)
    return kind in KINDS and start + length > len(data)


def _next_good(data: bytes, offset: int) -> int | None:
    """Where the next whole frame starts after bytes at `offset` that are none."""
    if offset + PREFIX.size <= len(data):  # a flipped bit in the payload leaves the length right
        length = PREFIX.unpack_from(data, offset)[0]
        behind = offset + PREFIX.size + length
        if frame_at(data, behind) is not None:
            return behind
    position = offset + 1
    last = len(data) - PREFIX.size
    while position <= last:
        if data[position + 8] in KINDS and frame_at(data, position) is not None:
            return position
        position += 1
    return None
