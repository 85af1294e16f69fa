"""Keys by which rows are compared: the same conversation, the same request and actions.

Knows: what may differ between two runs that teach the same.
Does not know: which of two equal runs is kept (curate/).
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from burnish_exporters.rows.chat import Chat
from burnish_exporters.rows.stable import digest, stable_json

_GENERATED = re.compile(
    r"""
    [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}                          # UUID
    | \b\d{4}-\d\d-\d\d[T\ ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?            # time with a date
    | \b1[5-9]\d{8}(?:\.\d+)?\b | \b1[5-9]\d{11}\b                                        # seconds, milliseconds
    | \b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{16,}\b                                  # hexadecimal ids
    | \b(?:call|chatcmpl|run|toolu|req|msg)_[0-9A-Za-z]{12,}\b                            # ids of providers
    """,
    re.VERBOSE | re.IGNORECASE,
)


_SUSPECT = re.compile(r"[0-9a-fA-F]{8}|\d-\d\d[T ]\d\d:|_[0-9A-Za-z]{12}")


def content_key(messages: list[Chat]) -> str:
    """Equal for conversations that are the same up to the ids of their calls."""
    places: dict[str, int] = {}
    reduced: list[Any] = []
    for message in messages:
        calls = []
        for call in message.get("tool_calls") or ():
            places[call["id"]] = len(places)
            calls.append([call["function"]["name"], call["function"]["arguments"]])
        answers = places.get(message.get("tool_call_id", ""))
        reduced.append([message["role"], message["content"], calls, answers, message["loss"]])
    return digest(reduced)


def action_key(messages: list[Chat]) -> str:
    """Equal for runs with the same request and the same calls, up to times and generated ids."""
    asked = [without_generated(_text(m)) for m in messages if m["role"] == "user"]
    calls = [
        [call["function"]["name"], _settled(call["function"]["arguments"])]
        for message in messages
        for call in message.get("tool_calls") or ()
    ]
    return digest([asked, calls])


def without_generated(text: str) -> str:
    """Text with times and generated ids replaced by one mark, and spaces made even."""
    if _SUSPECT.search(text):
        text = _GENERATED.sub("*", text)
    return " ".join(text.split())


def _settled(arguments: str) -> str:
    """Arguments whatever the order of their keys."""
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return without_generated(arguments)
    return without_generated(stable_json(value).decode())


def _text(message: Chat) -> str:
    content = message["content"]
    return content if isinstance(content, str) else json.dumps(content, sort_keys=True)
