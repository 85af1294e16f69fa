"""Encode and find the frames of a segment, each with a check sum.

A frame is `length u32 · crc32 u32 · kind u8 · payload`, little-endian. The check sum covers the
salt of the segment, the kind and the payload. The salt is random and is in the segment's header.
The author of a text does not know the salt, so an answer of an agent cannot contain bytes that a
reader accepts as a frame. This module works on bytes only, not on files or events.
"""

from __future__ import annotations

import re
import secrets
import struct
import zlib
from collections.abc import Iterator, Sequence

import msgspec

FORMAT = 3
"""Version of the journal's format that this burnish writes; it reads this and all earlier ones."""

HEADER = ord("H")
"""First two frames of a segment, both equal: a MessagePack map; their check sum has no salt."""
BLOB = ord("B")
"""Sixteen bytes of name, then JSON."""
SPLICED = ord("C")
"""Name, name of the inner content, u32 offset of the inner content, then the JSON around it."""
LINK = ord("L")
"""Name, name of the previous link (or zeros), then references: a part of a list of messages."""
CONTENTS = frozenset((BLOB, SPLICED, LINK))
"""Kinds whose payload begins with a name."""
EVENT = ord("E")
"""One event as `burnish.journal.events.encode` writes it."""
SEAL = ord("Z")
"""Last frame of a closed segment: a MessagePack map of counts."""
ERASED = ord("X")
"""An erased frame; the payload is zeros of the same length."""
KINDS = frozenset((HEADER, BLOB, SPLICED, LINK, EVENT, SEAL, ERASED))
"""Kinds that this version reads; frames of other kinds are skipped."""

PREFIX = struct.Struct("<IIB")
REF_BYTES = 16
HEADER_BYTES = 128
"""Size of each of the two header frames."""
SALT_BYTES = 8

_CANDIDATE = re.compile(b"[" + bytes(KINDS - {HEADER}) + b"]")
_SEARCH_BYTES = 64 << 20  # one search for a frame computes check sums over at most this many bytes
crc32 = zlib.crc32
pack_prefix = PREFIX.pack
"""Encode the bytes before a payload: its length, its check sum with the seed of its kind, its kind."""

Seeds = Sequence[int]
"""Start value of the check sum for each kind in a segment."""


def make_seeds(salt: bytes) -> Seeds:
    """Return the check sum seeds of a segment with this salt.

    Segments of formats before 3 have no salt.
    """
    seeds = [crc32(salt + bytes((kind,))) for kind in range(256)]
    seeds[HEADER] = crc32(bytes((HEADER,)))
    return seeds


PLAIN: Seeds = make_seeds(b"")
"""Seeds of segments without a salt."""


class SegmentHeader(msgspec.Struct, frozen=True, kw_only=True):
    """Content of the first frame of a segment."""

    format: int
    pid: int
    host: str
    started: int  # nanoseconds since the epoch, when the process opened its journal
    segment: int
    burnish: str = ""
    salt: bytes = b""
    pad: bytes = b""  # padding that gives the frame its fixed size


DAMAGE = 0
"""Marks bytes that are not a frame, in the place of a kind."""

Found = tuple[int, int, int]
"""Kind of a frame, the offset where it starts, and the offset where the next frame starts."""


def make_salt() -> bytes:
    """Return a random salt for a new segment."""
    return secrets.token_bytes(SALT_BYTES)


def encode_header(header: SegmentHeader) -> bytes:
    """Encode the two header frames of a segment, each of `HEADER_BYTES`."""
    host = header.host.encode("utf-8", "replace")[:18].decode("utf-8", "ignore")
    header = msgspec.structs.replace(header, host=host, burnish=header.burnish[:16])
    spare = HEADER_BYTES - PREFIX.size - len(msgspec.msgpack.encode(header))
    header = msgspec.structs.replace(header, pad=bytes(spare))
    return frame(HEADER, msgspec.msgpack.encode(header)) * 2


def decode_header(data: bytes | memoryview) -> SegmentHeader | None:
    """Decode the header of a segment from its first bytes; None if neither copy can be read."""
    for offset in (0, HEADER_BYTES):
        found = frame_at(data, offset)
        if found is not None and found[0] == HEADER:
            try:
                return msgspec.msgpack.decode(data[found[1] : found[2]], type=SegmentHeader)
            except (msgspec.MsgspecError, ValueError):
                continue
    return None


def find_seeds(data: bytes | memoryview) -> Seeds:
    """Return the check sum seeds of the segment whose first bytes are `data`."""
    header = decode_header(data)
    return make_seeds(header.salt) if header is not None and header.salt else PLAIN


def prefix(kind: int, payload: bytes, seeds: Seeds = PLAIN) -> bytes:
    """Encode the nine bytes before a payload."""
    return pack_prefix(len(payload), crc32(payload, seeds[kind]), kind)


def add_blob(data: list[bytes], ref: bytes, blob: bytes, seeds: Seeds = PLAIN) -> None:
    """Append the frame of a content to `data`."""
    crc = crc32(blob, crc32(ref, seeds[BLOB]))
    data += (pack_prefix(REF_BYTES + len(blob), crc, BLOB), ref, blob)


def frame(kind: int, payload: bytes, seeds: Seeds = PLAIN) -> bytes:
    """Encode a whole frame."""
    return prefix(kind, payload, seeds) + payload


def frame_at(
    data: bytes | memoryview, offset: int, seeds: Seeds = PLAIN
) -> tuple[int, int, int] | None:
    """Return kind, first and last offset of the payload of a valid frame at `offset`, else None."""
    start = offset + PREFIX.size
    if start > len(data):
        return None
    length, crc, kind = PREFIX.unpack_from(data, offset)
    end = start + length
    if end > len(data):
        return None
    if crc32(memoryview(data)[start:end], seeds[kind]) != crc:
        return None
    return kind, start, end


def split(data: bytes, *, final: bool = True, seeds: Seeds | None = None) -> Iterator[Found]:
    """Yield the frames of `data` as kind, start and end; the payload begins nine bytes after start.

    Bytes that are not a frame are yielded as `DAMAGE` up to the next whole frame. Bytes after the
    last whole frame are not yielded. With `final` off, more bytes may follow, so an incomplete
    frame ends the reading. Without `seeds`, `data` begins with the header of its segment.
    """
    seeds = find_seeds(data) if seeds is None else seeds
    offset, size, head = 0, len(data), PREFIX.size
    view, unpack = memoryview(data), PREFIX.unpack_from
    while offset + head <= size:
        length, crc, kind = unpack(data, offset)
        end = offset + head + length
        if end <= size and crc32(view[offset + head : end], seeds[kind]) == crc:
            yield kind, offset, end
            offset = end
            continue
        if not final and (end > size or seeds is PLAIN):
            return  # without a salt, only the end of the segment distinguishes frames from text
        again = _next_good(data, offset, seeds)
        if again is None:
            return
        yield DAMAGE, offset, again
        offset = again


def erased(size: int, seeds: Seeds) -> bytes:
    """Encode an empty frame of `size` bytes in total."""
    return frame(ERASED, bytes(size - PREFIX.size), seeds)


def scrubbed(length: bytes, size: int) -> bytes:
    """Return zeros that replace `size` damaged bytes.

    They are not a frame, so readers still count damage. A correct length stays: it shows that the damage covers one frame.
    """
    kept = length if int.from_bytes(length, "little") == size - PREFIX.size else b""
    return kept + bytes(size - len(kept))


def _next_good(data: bytes, offset: int, seeds: Seeds) -> int | None:
    """Find the next whole frame after damaged bytes at `offset`.

    In a segment with a salt, the journal wrote every frame with a correct check sum. In a segment
    without one, a text may contain such a frame; a frame is then trusted only if frames follow it
    without a gap to the end of the segment, which a frame inside a torn tail does not have.
    """
    length = PREFIX.unpack_from(data, offset)[0]
    behind = offset + PREFIX.size + length  # a flipped bit in the payload leaves the length right
    if frame_at(data, behind, seeds) is not None:
        return behind
    budget = _SEARCH_BYTES
    size, unpack = len(data), PREFIX.unpack_from
    for found in _CANDIDATE.finditer(data, offset + PREFIX.size):
        position = found.start() - PREFIX.size + 1
        end = position + PREFIX.size + unpack(data, position)[0]
        if end > size:
            continue
        budget -= end - position
        if budget < 0:
            return None
        if frame_at(data, position, seeds) is None:
            continue
        if seeds is not PLAIN or _reaches_end(data, end):
            return position
    return None


def _reaches_end(data: bytes, offset: int) -> bool:
    """Return whether frames without a salt follow from `offset` to the end without a gap."""
    while offset < len(data):
        found = frame_at(data, offset)
        if found is None:
            return False
        offset = found[2]
    return True
