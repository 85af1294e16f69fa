"""Read a burnish journal with the standard library and a MessagePack decoder.

    python read_journal.py .burnish            one line of JSON for each event
    python read_journal.py .burnish --content  with messages, arguments and results in their place

The format is described in docs/journal.md. This reader follows it to the letter: it steps over
damage, leaves a torn tail alone, and refuses a format that is newer than it knows.
"""

import json
import struct
import sys
import zlib
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

from msgspec import msgpack

FORMAT = 1
PREFIX = struct.Struct("<IIB")  # length of the payload, crc32 of kind and payload, kind
HEADER, BLOB, EVENT, SEAL = b"H", b"B", b"E", b"Z"
REFS = {"input", "output", "metadata", "tools", "request", "extras", "reply", "arguments"}
REFS |= {"result", "evidence", "state"}


def frames(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and payload of each whole frame."""
    offset = 0
    while offset + PREFIX.size <= len(data):
        length, crc, number = PREFIX.unpack_from(data, offset)
        kind, start = bytes([number]), offset + PREFIX.size
        payload = data[start : start + length]
        if kind in b"HBEZ" and len(payload) == length and zlib.crc32(kind + payload) == crc:
            yield kind, payload
            offset = start + length
        else:
            offset += 1  # damage, or the torn tail: look for the next whole frame


def event_of(payload: bytes) -> dict:
    """An event is MessagePack, or JSON where one of its texts is no valid Unicode."""
    if payload[:1] == b"{":
        return json.loads(payload)
    return msgpack.decode(payload)


def segment(path: Path) -> tuple[list[dict], dict[bytes, bytes]]:
    """Events of a segment, and its contents by their names."""
    events, blobs = [], {}
    for kind, payload in frames(path.read_bytes()):
        if kind == HEADER:
            header = msgpack.decode(payload)
            if header["format"] > FORMAT:
                raise SystemExit(f"{path}: format {header['format']}, this reads up to {FORMAT}")
        elif kind == BLOB:
            blobs[payload[:16]] = payload[16:]
        elif kind == EVENT:
            events.append(event_of(payload))
    return events, blobs


def shown(event: dict, blobs: dict[bytes, bytes], *, content: bool) -> dict:
    """The event with its references as hex, or as the contents that they name."""

    def resolved(ref: bytes | str) -> object:
        ref = b64decode(ref) if isinstance(ref, str) else ref  # of an event written as JSON
        if content and ref in blobs:
            return json.loads(blobs[ref])
        return ref.hex()

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
