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

FORMAT = 2
INT = struct.Struct("<I")
PREFIX = struct.Struct("<IIB")  # length of the payload, crc32 of kind and payload, kind
HEADER, BLOB, SPLICED, LINK, EVENT = b"H", b"B", b"C", b"L", b"E"
REFS = {"input", "output", "metadata", "tools", "request", "extras", "reply", "arguments"}
REFS |= {"result", "evidence", "state"}


def frames(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and payload of each whole frame."""
    offset = 0
    while offset + PREFIX.size <= len(data):
        length, crc, number = PREFIX.unpack_from(data, offset)
        kind, start = bytes([number]), offset + PREFIX.size
        payload = data[start : start + length]
        if kind in b"HBCLEZX" and len(payload) == length and zlib.crc32(kind + payload) == crc:
            yield kind, payload
            offset = start + length
        else:
            offset += 1  # damage, or the torn tail: look for the next whole frame


def event_of(payload: bytes) -> dict:
    """An event is MessagePack, or JSON where one of its texts is no valid Unicode."""
    return json.loads(payload) if payload[:1] == b"{" else msgpack.decode(payload)


def segment(path: Path) -> tuple[list[dict], dict[bytes, bytes]]:
    """Events of a segment, and its contents by their names."""
    events, blobs, links = [], {}, {}
    for kind, payload in frames(path.read_bytes()):
        if kind == HEADER:
            header = msgpack.decode(payload)
            if header["format"] > FORMAT:
                raise SystemExit(f"{path}: format {header['format']}, this reads up to {FORMAT}")
        elif kind == BLOB:
            blobs[payload[:16]] = payload[16:]
        elif kind == SPLICED:  # the bytes of another content belong in the middle
            inner, (at,), around = payload[16:32], INT.unpack(payload[32:36]), payload[36:]
            blobs[payload[:16]] = around[:at] + blobs.get(inner, b'"?"') + around[at:]
        elif kind == LINK:  # a part of a list of messages, after the link that it names first
            rest = [payload[at : at + 16] for at in range(32, len(payload), 16)]
            links[payload[:16]] = links.get(payload[16:32], []) + rest
        elif kind == EVENT:
            event = event_of(payload)
            if "before" in event:
                event["messages"] = links.get(as_bytes(event.pop("before")), []) + event["messages"]
            events.append(event)
    return events, blobs


def as_bytes(ref: bytes | str) -> bytes:
    """A reference; an event that is JSON has it in base64."""
    return b64decode(ref) if isinstance(ref, str) else ref


def shown(event: dict, blobs: dict[bytes, bytes], *, content: bool) -> dict:
    """The event with its references as hex, or as the contents that they name."""

    def resolved(ref: bytes | str) -> object:
        ref = as_bytes(ref)
        return json.loads(blobs[ref]) if content and ref in blobs else ref.hex()

    for name in REFS & event.keys():
        event[name] = resolved(event[name])
    if "messages" in event:
        event["messages"] = [resolved(ref) for ref in event["messages"]]
    return event


def main() -> None:
    home, content = Path(sys.argv[1]), "--content" in sys.argv
    for path in sorted(home.glob("journal/*/*.seg")):
        events, blobs = segment(path)
        for event in events:
            print(json.dumps(shown(event, blobs, content=content)))


if __name__ == "__main__":
    main()
