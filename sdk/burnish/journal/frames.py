"""The bytes of a segment: frames, their check sums, and how to find them again.

A frame is `length u32 · crc32 u32 · kind u8 · payload`, little-endian. The check sum covers the
salt of the segment, the kind and the payload. The salt is random and stands in the header, so a
text that an agent writes into its answer cannot hold a frame that a reader takes for one: whoever
made the text did not know the salt. Nothing here knows files, processes, or what an event says.
"""

from __future__ import annotations

import re
import secrets
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence

import msgspec

FORMAT = 3
"""Version of the journal's format that this burnish writes; it reads this and all before."""

HEADER = ord("H")
"""First two frames of a segment, the same twice: a MessagePack map; their check sum has no salt."""
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
HEADER_BYTES = 128
"""Size of each of the two header frames."""
SALT_BYTES = 8

_CANDIDATE = re.compile(b"[" + bytes(KINDS - {HEADER}) + b"]")
_SEARCH_BYTES = 64 << 20  # check sums are computed over at most so much in one search for a frame
_crc32 = zlib.crc32
_pack = PREFIX.pack

Seeds = Sequence[int]
"""Where the check sum of each kind begins in a segment."""


def make_seeds(salt: bytes) -> Seeds:
    """Seeds of a segment with this salt; without one, those of the formats before 3."""
    seeds = [zlib.crc32(salt + bytes((kind,))) for kind in range(256)]
    seeds[HEADER] = zlib.crc32(bytes((HEADER,)))
    return seeds


PLAIN: Seeds = make_seeds(b"")
"""Seeds of segments without a salt."""


class SegmentHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What the first frame of a segment says."""

    format: int
    pid: int
    host: str
    started: int  # nanoseconds since the epoch, when the process opened its journal
    segment: int
    burnish: str = ""
    salt: bytes = b""
    pad: bytes = b""  # gives the frame its fixed size


DAMAGE = 0
"""Stands in the place of a kind where bytes are no frame."""

Found = tuple[int, int, int]
"""Kind of a frame, the offset where it starts, and the offset where the next one does."""


def make_salt() -> bytes:
    """A salt for a new segment."""
    return secrets.token_bytes(SALT_BYTES)


def encode_header(header: SegmentHeader) -> bytes:
    """The two header frames of a segment, each of `HEADER_BYTES`."""
    host = header.host.encode("utf-8", "replace")[:18].decode("utf-8", "ignore")
    header = msgspec.structs.replace(header, host=host, burnish=header.burnish[:16])
    spare = HEADER_BYTES - PREFIX.size - len(msgspec.msgpack.encode(header))
    header = msgspec.structs.replace(header, pad=bytes(spare))
    return frame(HEADER, msgspec.msgpack.encode(header)) * 2


def decode_header(data: bytes | memoryview) -> SegmentHeader | None:
    """The header of a segment whose first bytes are `data`; None if neither copy can be read."""
    for offset in (0, HEADER_BYTES):
        found = frame_at(data, offset)
        if found is not None and found[0] == HEADER:
            try:
                return msgspec.msgpack.decode(data[found[1] : found[2]], type=SegmentHeader)
            except (msgspec.MsgspecError, ValueError):
                continue
    return None


def find_seeds(data: bytes | memoryview) -> Seeds:
    """Seeds of the segment whose first bytes are `data`."""
    header = decode_header(data)
    return make_seeds(header.salt) if header is not None and header.salt else PLAIN


def prefix(kind: int, payload: bytes, seeds: Seeds = PLAIN) -> bytes:
    """The nine bytes before a payload."""
    return _pack(len(payload), _crc32(payload, seeds[kind]), kind)


def add_events(data: list[bytes], payloads: Iterable[bytes], seeds: Seeds = PLAIN) -> None:
    """Add the frames of events, one after the other."""
    seed = seeds[EVENT]
    for one in payloads:
        data += (_pack(len(one), _crc32(one, seed), EVENT), one)


def add_blob(data: list[bytes], ref: bytes, blob: bytes, seeds: Seeds = PLAIN) -> None:
    """Add the frame of a content."""
    crc = _crc32(blob, _crc32(ref, seeds[BLOB]))
    data += (_pack(REF_BYTES + len(blob), crc, BLOB), ref, blob)


def frame(kind: int, payload: bytes, seeds: Seeds = PLAIN) -> bytes:
    """A whole frame."""
    return prefix(kind, payload, seeds) + payload


def frame_at(
    data: bytes | memoryview, offset: int, seeds: Seeds = PLAIN
) -> tuple[int, int, int] | None:
    """Kind, first and last offset of the payload of a good frame at `offset`, else None."""
    start = offset + PREFIX.size
    if start > len(data):
        return None
    length, crc, kind = PREFIX.unpack_from(data, offset)
    end = start + length
    if end > len(data):
        return None
    if _crc32(memoryview(data)[start:end], seeds[kind]) != crc:
        return None
    return kind, start, end


def split(data: bytes, *, final: bool = True, seeds: Seeds | None = None) -> Iterator[Found]:
    """Frames of `data`, each as kind, start and end; the payload begins nine bytes after start.

    Bytes that are no frame are given as `DAMAGE` up to the next whole frame. What follows the
    last whole frame is not given. With `final` off, more bytes may come: a frame that is not
    whole yet ends the reading. Without `seeds`, `data` begins with the header of its segment.
    """
    seeds = find_seeds(data) if seeds is None else seeds
    offset, size, head = 0, len(data), PREFIX.size
    view, unpack = memoryview(data), PREFIX.unpack_from
    while offset + head <= size:
        length, crc, kind = unpack(data, offset)
        end = offset + head + length
        if end <= size and _crc32(view[offset + head : end], seeds[kind]) == crc:
            yield kind, offset, end
            offset = end
            continue
        if not final and (end > size or seeds is PLAIN):
            return  # without a salt, only the end of the segment tells what is a frame
        again = _next_good(data, offset, seeds)
        if again is None:
            return
        yield DAMAGE, offset, again
        offset = again


def erased(size: int, seeds: Seeds) -> bytes:
    """A frame of `size` bytes in all that says nothing."""
    return frame(ERASED, bytes(size - PREFIX.size), seeds)


def scrubbed(length: bytes, size: int) -> bytes:
    """Zeros in the place of `size` damaged bytes; no frame, so a reader counts them as before.

    A length that was right stays: it says that the damage is of one frame.
    """
    kept = length if int.from_bytes(length, "little") == size - PREFIX.size else b""
    return kept + bytes(size - len(kept))


def _next_good(data: bytes, offset: int, seeds: Seeds) -> int | None:
    """Where the next whole frame starts after bytes at `offset` that are none.

    In a segment with a salt every frame with the right check sum was written by the journal. In
    one without, a text may hold such a frame; a frame is then trusted only if frames follow it
    without a gap to the end of the segment, which is not so inside a torn tail.
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
    """Whether frames without a salt stand without a gap from `offset` to the end."""
    while offset < len(data):
        found = frame_at(data, offset)
        if found is None:
            return False
        offset = found[2]
    return True
