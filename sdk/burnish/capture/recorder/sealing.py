"""Check the types and redact the texts of every event before it leaves capture.

`readable` gives each field a value of its declared type. `seal` sends every text of an event
through the redactor, except words of closed vocabularies and burnish's own hexadecimal ids, so a
new field of an event is redacted without further code. Contents (`Ref`) were redacted when they
were encoded (content.py).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from burnish.capture.content.redaction_guard import Guarded
from burnish.capture.recorder.values import (
    WrongValue,
    read_flag,
    read_integer,
    read_number,
    read_text,
)
from burnish.errors import UnreadableEvent
from burnish.journal.events import AnyEvent, encode

FIELDS_DROPPED = "fields_dropped"
"""Loss kind: values of calls that were of a wrong type."""

_HEX = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}")
_COUNTED = re.compile(r"[a-z_]{1,64}")
_WORDS: dict[str, frozenset[str]] = {
    "status": frozenset({"completed", "failed", "interrupted", "cancelled", "abandoned", "running"}),
    "source": frozenset({"production", "rollout", "evaluation", "demonstration", "teacher",
                         "human", "import"}),
    "mode": frozenset({"exploit", "explore"}),
    "scope": frozenset({"last", "thread"}),
    "origin": frozenset({"own", "inside", "imported", "received"}),
    "operation": frozenset(
        {
            "invoke_agent", "invoke_workflow", "execute_tool", "retrieval", "search_memory",
            "upsert_memory", "delete_memory",
        }
    ),
    "label": frozenset({"success", "fail", "unknown"}),
    "arm": frozenset({"stable", "canary", "holdback", "takeover"}),
    "bubbled": frozenset({"GraphInterrupt", "NodeInterrupt", "ParentCommand", "GraphBubbleUp"}),
    "finish_reason": frozenset(
        {
            "stop", "length", "tool_calls", "function_call", "content_filter", "end_turn",
            "max_tokens", "tool_use", "stop_sequence", "refusal", "STOP", "MAX_TOKENS", "error",
        }
    ),
}  # fmt: skip
"""Closed vocabularies by field: such a word names no person and no key."""
_IDS = frozenset({"trajectory", "span", "trace", "parent"})
_ROLLOUT = re.compile(r"[0-9a-f]{16}(-holdback|-[0-9]{1,4})?")


class _Texts(msgspec.Struct, frozen=True):
    """The fields of an event type that hold text."""

    single: tuple[str, ...]
    listed: tuple[str, ...]
    keyed: tuple[str, ...]


@functools.cache
def types_of_fields(kind: type[AnyEvent]) -> dict[str, Any]:
    """Return the declared types of an event's fields, without bounds of numbers."""
    return get_type_hints(kind)


@functools.cache
def _texts_of(kind: type[AnyEvent]) -> _Texts:
    fields = types_of_fields(kind)
    return _Texts(
        single=tuple(name for name, declared in fields.items() if str in _types_of_field(declared)),
        listed=tuple(name for name, declared in fields.items() if declared == list[str]),
        keyed=tuple(
            name
            for name, declared in fields.items()
            if any(get_origin(option) is dict for option in _types_of_field(declared))
        ),
    )


def _types_of_field(declared: Any) -> tuple[Any, ...]:
    """Return the types that a field may have, without None."""
    found = get_args(declared) if get_origin(declared) not in (list, dict) else ()
    return tuple(option for option in found or (declared,) if option is not type(None))


def seal(
    event: AnyEvent, door: Guarded | None, losses: dict[str, int], *, redacted: bool = False
) -> AnyEvent:
    """Redact every text of an event; return the same event if nothing is redacted.

    Args:
        event: The event.
        door: The redactor; None keeps all.
        losses: Receives the count of values of a wrong type.
        redacted: Whether one of its contents was redacted.
    """
    if door is None:
        return event
    event = readable(event, losses)
    texts = _texts_of(type(event))
    changed: dict[str, Any] = {}
    for name in texts.single:
        value = getattr(event, name)
        kept = value if value is None else _redact_text(name, value, door)
        if kept != value:
            changed[name] = kept
    for name in texts.listed:
        values = getattr(event, name)
        kept = [_redact_text(name, value, door) for value in values]
        if kept != values:
            changed[name] = kept
    for name in texts.keyed:
        counts = getattr(event, name)
        kept = counts and _redact_keys(counts, door)
        if kept != counts:
            changed[name] = kept
    if not changed and (event.redacted or not redacted):
        return event
    return msgspec.structs.replace(event, **changed, redacted=True)


def _redact_text(name: str, text: str, door: Guarded) -> str:
    if text in _WORDS.get(name, ()) or (name in _IDS and _HEX.fullmatch(text)):
        return text
    if name == "rollout" and _ROLLOUT.fullmatch(text):
        return text
    return (door.arguments(text) if name == "raw_arguments" else door.text(text)) or ""


def _redact_keys(counts: Mapping[str, int], door: Guarded) -> dict[str, int]:
    kept: dict[str, int] = {}
    for key, number in counts.items():
        name = key if _COUNTED.fullmatch(key) else door.text(key) or ""
        kept[name] = kept.get(name, 0) + number
    return kept


def readable(event: AnyEvent, losses: dict[str, int]) -> AnyEvent:
    """Give each field a value of its declared type, if the given value has a clear meaning.

    A value that cannot be converted is left out and counted in `losses`.

    Raises:
        UnreadableEvent: If a required value cannot be converted.
    """
    try:
        encode(event)
    except UnreadableEvent:
        fields = {}
        for name, declared in types_of_fields(type(event)).items():
            value = getattr(event, name)
            try:
                fields[name] = _convert_value(value, declared)
            except (WrongValue, TypeError, ValueError):
                losses[FIELDS_DROPPED] = losses.get(FIELDS_DROPPED, 0) + 1
                if type(None) in get_args(declared):
                    fields[name] = None
                elif declared is str and name not in _IDS:
                    fields[name] = f"[{type(value).__name__}]"
        event = type(event)(**fields)
        encode(event)
    return event


def _convert_value(value: Any, declared: Any) -> Any:
    """Convert a value to the declared type."""
    options = _types_of_field(declared)
    if value is None and type(None) in get_args(declared):
        return None
    (option,) = options
    if option is Any:
        return value
    if get_origin(option) is list:
        return _converted_list(value, get_args(option)[0])
    if get_origin(option) is dict:
        return _converted_counts(value, get_args(option)[1])
    read = _READERS.get(option)
    if read is not None:
        return read(value)
    if isinstance(value, option):
        return value
    raise WrongValue(value, getattr(option, "__name__", "another type"))


def _converted_list(value: Any, item: Any) -> list[Any]:
    listed = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(listed, (str, bytes, Mapping)):
        raise WrongValue(value, "a list")
    return [_convert_value(one, item) for one in listed]


def _converted_counts(value: Any, item: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise WrongValue(value, "numbers by name")
    return {read_text(key): _convert_value(one, item) for key, one in value.items()}


_READERS: dict[Any, Callable[[Any], Any]] = {
    str: read_text,
    int: read_integer,
    float: read_number,
    bool: read_flag,
}
