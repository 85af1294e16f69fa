"""Read a burnish journal with the standard library and a MessagePack decoder.

    python read_journal.py .burnish            one line of JSON for each event
    python read_journal.py .burnish --content  with messages, arguments and results in their place

The format is described in docs/journal.md. This reader steps over damage, leaves a torn tail
alone, and refuses a format that is newer than it knows.
"""

import json
import struct
import sys
import zlib
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

from msgspec import msgpack

FORMAT = 3
HEADER_BYTES = 128  # the header is written twice, so that damage to one copy loses nothing
INT = struct.Struct("<I")
PREFIX = struct.Struct("<IIB")  # length of the payload, crc32 of salt, kind and payload, kind
HEADER, BLOB, SPLICED, LINK, EVENT = b"H", b"B", b"C", b"L", b"E"
REFS = {"input", "output", "metadata", "tools", "request", "extras", "reply", "arguments"}
REFS |= {"result", "evidence", "state"}


def frame_at(data: bytes, offset: int, salt: bytes) -> tuple[bytes, bytes] | None:
    """Return kind and payload of the whole frame at an offset; the check sum of a header has no salt."""
    length, crc, number = PREFIX.unpack_from(data.ljust(offset + PREFIX.size), offset)
    kind, start = bytes([number]), offset + PREFIX.size
    payload = data[start : start + length]
    total = zlib.crc32((kind if kind == HEADER else salt + kind) + payload)
    return (kind, payload) if len(payload) == length and total == crc else None


def frames(data: bytes, salt: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and payload of each whole frame."""
    offset = 0
    while offset + PREFIX.size <= len(data):
        found = frame_at(data, offset, salt)
        behind = offset + PREFIX.size + INT.unpack_from(data, offset)[0]
        if found:
            yield found
        if found or not salt or frame_at(data, behind, salt):  # without a salt, text can be a frame
            offset = behind
        else:
            offset += 1  # damage, or the torn tail: look for the next whole frame


def segment(path: Path) -> tuple[list[dict], dict[bytes, bytes]]:
    """Return the events of a segment, and its contents by their names."""
    events, blobs, links, data = [], {}, {}, path.read_bytes()
    found = frame_at(data, 0, b"") or frame_at(data, HEADER_BYTES, b"")
    header: dict = msgpack.decode(found[1]) if found and found[0] == HEADER else {"format": 0}
    if header["format"] > FORMAT:
        raise SystemExit(f"{path}: format {header['format']}, this reads up to {FORMAT}")
    for kind, payload in frames(data, header.get("salt", b"")):
        if kind == BLOB:
            blobs[payload[:16]] = payload[16:]
        elif kind == SPLICED:  # the bytes of another content belong in the middle
            inner, (at,), around = payload[16:32], INT.unpack(payload[32:36]), payload[36:]
            blobs[payload[:16]] = around[:at] + blobs.get(inner, b'"?"') + around[at:]
        elif kind == LINK:  # a part of a list of messages; names the part before it first
            rest = [payload[at : at + 16] for at in range(32, len(payload), 16)]
            links[payload[:16]] = links.get(payload[16:32], []) + rest
        elif kind == EVENT:  # MessagePack, or JSON if one of its texts is not valid Unicode
            event = json.loads(payload) if payload[:1] == b"{" else msgpack.decode(payload)
            if "before" in event:
                event["messages"] = links.get(as_bytes(event.pop("before")), []) + event["messages"]
            events.append(event)
    return events, blobs


def as_bytes(ref: bytes | str) -> bytes:
    """Return a reference as bytes; an event in JSON has it in base64."""
    return b64decode(ref) if isinstance(ref, str) else ref


def shown(event: dict, blobs: dict[bytes, bytes], *, content: bool) -> dict:
    """Return the event with its references as hex, or as the contents that they name."""

    def resolved(ref: bytes | str) -> object:
        ref = as_bytes(ref)
        return json.loads(blobs[ref]) if content and ref in blobs else ref.hex()

    for name in REFS & event.keys():
        event[name] = resolved(event[name])
    if "messages" in event:
        event["messages"] = [resolved(ref) for ref in event["messages"]]
    return event


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).glob("journal/*/*.seg")):
        events, blobs = segment(path)
        for event in events:
            print(json.dumps(shown(event, blobs, content="--content" in sys.argv)))
