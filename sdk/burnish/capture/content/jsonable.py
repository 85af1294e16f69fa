"""Convert values of any type to plain JSON data.

`to_plain` converts the objects that agents pass around, and counts losses.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import pathlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from burnish.journal.events import ordered_json
from burnish.records import Json

_LEAVES = frozenset({str, int, float, bool, type(None)})
_TEXTUAL = (dt.date, dt.time, decimal.Decimal, pathlib.PurePath, uuid.UUID, complex)
_DEEPEST = 120
_REPR_LENGTH = 300
_LARGE_ARRAY = 10_000  # numpy arrays with this many elements or more are not kept
_MOST_BITS = 14_000

Losses = dict[str, int]
"""Counts of what could not be kept, by kind."""


def plain_bytes(value: Any, losses: Losses | None = None) -> bytes:
    """Encode any value as JSON in its own order; other objects are named and counted in `losses`."""
    try:
        return ordered_json(value)
    except (TypeError, RecursionError, ValueError):
        return ordered_json(to_plain(value, losses))


def to_plain(value: Any, losses: Losses | None = None, depth: int = 0) -> Json:
    """Convert any value to plain JSON data.

    Bytes become `{"$bytes": base64}`; an object without a JSON form becomes
    `{"$object": type, "repr": ...}` and is counted as "unserialisable".
    """
    kind = type(value)
    if kind in _LEAVES:
        return _count_lost(value, losses, "unserialisable") if _is_endless(value) else value
    if depth > _DEEPEST:
        return _count_lost(value, losses, "too_deep")
    try:
        if isinstance(value, Mapping):
            return {
                key if type(key) is str else str(key): to_plain(item, losses, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [to_plain(item, losses, depth + 1) for item in value]
        return _convert_special(value, losses, depth)
    except Exception:  # noqa: BLE001 - the object's own code; its name is kept
        return _count_lost(value, losses, "unserialisable")


def _is_endless(value: Any) -> bool:
    """Return whether an integer has more digits than Python writes out."""
    return type(value) is int and value.bit_length() > _MOST_BITS


def _convert_special(value: Any, losses: Losses | None, depth: int) -> Json:
    if isinstance(value, enum.Enum):
        return to_plain(value.value, losses, depth + 1)
    if isinstance(value, str):
        return str.__str__(value)
    for base in (int, float):  # subclasses of the leaves
        if isinstance(value, base):
            return to_plain(base(value), losses, depth)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, (set, frozenset)):
        return sorted((to_plain(item, losses, depth + 1) for item in value), key=ordered_json)
    if isinstance(value, _TEXTUAL):
        return str(value)
    if type(value).__module__ == "numpy" and getattr(value, "size", _LARGE_ARRAY) < _LARGE_ARRAY:
        return to_plain(value.tolist(), losses, depth + 1)  # scalars too
    if isinstance(value, BaseException):
        return {"type": type(value).__name__, "message": str(value)}
    return _convert_object(value, losses, depth)


def _convert_object(value: Any, losses: Losses | None, depth: int) -> Json:
    try:
        give = _data_of(value)
        data = value if give is None else give()
    except Exception:  # noqa: BLE001 - the object's own code; its repr is kept
        data = value
    if data is value:
        return _count_lost(value, losses, "unserialisable")
    return to_plain(data, losses, depth + 1)


def _data_of(value: Any) -> Callable[[], Any] | None:
    """Return the function that dumps the object's data, or None."""
    if isinstance(value, type):
        schema = getattr(value, "model_json_schema", None)
        return schema or (lambda: {"$type": f"{value.__module__}.{value.__qualname__}"})
    if dataclasses.is_dataclass(value):
        return lambda: {
            field.name: getattr(value, field.name) for field in dataclasses.fields(value)
        }
    if _is_message(value):
        from burnish.capture.content.message_codec import encode_message

        return lambda: encode_message(value)
    if hasattr(value, "model_dump"):
        return value.model_dump
    if hasattr(value, "__struct_fields__"):
        return lambda: {name: getattr(value, name) for name in value.__struct_fields__}
    return None


def _is_message(value: Any) -> bool:
    fields = getattr(value, "__dict__", ())
    return "content" in fields and "additional_kwargs" in fields and "type" in fields


def _count_lost(value: Any, losses: Losses | None, kind: str) -> Json:
    if losses is not None:
        losses[kind] = losses.get(kind, 0) + 1
    try:
        text = repr(value) if kind != "too_deep" else "..."
    except Exception:  # noqa: BLE001 - the object's own code
        text = "<no repr>"
    return {"$object": type(value).__qualname__, "repr": text[:_REPR_LENGTH]}
