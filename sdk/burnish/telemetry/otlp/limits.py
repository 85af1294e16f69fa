"""Count the messages and values of an OTLP request before it is decoded.

`check_size` walks the protobuf wire format; `JsonItems` counts inside JSON texts. Two bytes of an
empty message become a hundred bytes of memory, and two characters of JSON fifty: a limit in bytes
alone would let a small request take all memory.
"""

from __future__ import annotations

import re

from burnish.errors import JournalCorrupt

MOST_SPANS = 20_000
MOST_ITEMS = 400_000
"""Attributes, values, events and links of one request."""
MOST_JSON_ITEMS = 1_000_000
"""Items of JSON inside the texts of one request."""
_FEW = 50_000
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)

# Field numbers that hold messages, by kind of message, with the kind of the inner message.
_FIELDS: dict[str, dict[int, str]] = {
    "request": {1: "resource_spans"},
    "resource_spans": {1: "attributes_1", 2: "scope_spans"},
    "scope_spans": {1: "attributes_3", 2: "span"},
    "span": {9: "attribute", 11: "attributes_3", 13: "attributes_4", 15: "leaf"},
    "attributes_1": {1: "attribute"},
    "attributes_3": {3: "attribute"},
    "attributes_4": {4: "attribute"},
    "attribute": {2: "value"},
    "value": {5: "values", 6: "attributes_1"},
    "values": {1: "value"},
    "leaf": {},
}


def check_size(request: bytes) -> int:
    """Refuse a request that expands to too much; return its number of spans, log records or metrics.

    Raises:
        JournalCorrupt: If it holds too many spans or values.
    """
    spans = items = 0
    waiting = [("request", 0, len(request))]
    while waiting:
        kind, position, end = waiting.pop()
        fields = _FIELDS[kind]
        while position < end:
            key, position = _read_varint(request, position, end)
            wire = key & 7
            if wire != 2:
                position = _skip_field(request, position, end, wire)
                continue
            size, position = _read_varint(request, position, end)
            inner = fields.get(key >> 3)
            if inner is not None:
                spans += inner == "span"
                items += 1
                if spans > MOST_SPANS:
                    raise _limit_error("spans", MOST_SPANS)
                if items > MOST_ITEMS:
                    raise _limit_error("attributes and values", MOST_ITEMS)
                if size:
                    waiting.append((inner, position, min(position + size, end)))
            position += size
    return spans


class JsonItems:
    """Counts the items of the JSON texts of one request."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, text: str) -> None:
        """Count the items of a text before it is decoded.

        Raises:
            JournalCorrupt: If the texts of the request hold too many.
        """
        found = sum(map(text.count, ",[{"))
        if found > _FEW:  # most of them may stand inside strings
            found = sum(map(_STRING.sub("", text).count, ",[{"))
        self._count += found
        if self._count > MOST_JSON_ITEMS:
            raise _limit_error("items of JSON", MOST_JSON_ITEMS)


def _read_varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    return 0, end  # cut or malformed: protobuf's decoder reports it


def _skip_field(data: bytes, position: int, end: int, wire: int) -> int:
    """Return the position behind a field that holds no message."""
    if wire == 0:
        return _read_varint(data, position, end)[1]
    return position + {1: 8, 5: 4}.get(wire, end)


def _limit_error(what: str, most: int) -> JournalCorrupt:
    return JournalCorrupt(
        f"a request with more than {most} {what}",
        f"at most {most} {what} in one request",
        "send smaller batches (OTEL_BSP_MAX_EXPORT_BATCH_SIZE)",
    )
