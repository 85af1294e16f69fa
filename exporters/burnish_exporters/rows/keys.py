"""Keys by which rows are compared: the same conversation, the same request and actions.

Knows: what may differ between two runs that teach the same.
Does not know: which of two equal runs is kept (curate/).
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import msgspec

from burnish.trajectories.normal_form import comparable_text, normal_text
from burnish_exporters.rows.canonical_json import digest, stable_json
from burnish_exporters.rows.chat import Chat

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
        said = message["content"]
        if message["role"] == "user" and isinstance(said, str):
            said = normal_text(said)
        reduced.append([message["role"], said, calls, answers, message["loss"]])
    return digest(reduced)


def request_of(messages: list[Chat]) -> str:
    """What users said, a line for each message, in the normal form."""
    return "\n".join(normal_text(text_of(m)) for m in messages if m["role"] == "user")


def action_key(messages: list[Chat]) -> str:
    """Equal for runs with the same request and the same calls, up to times and generated ids.

    An id that the request names is part of the request. One that a tool gave stands for its place in the results, so
    that two runs that picked different entries stay different.
    """
    asked = [comparable_text(text_of(m)) for m in messages if m["role"] == "user"]
    return digest([asked, actions_of(messages)])


def actions_of(messages: list[Chat]) -> list[str]:
    """Key of each call, in order, up to times and generated ids."""
    ids = _Ids([normal_text(text_of(m)) for m in messages if m["role"] == "user"])
    calls = []
    for message in messages:
        if message["role"] == "tool":
            ids.seen(text_of(message))
        for call in message.get("tool_calls") or ():
            function = call["function"]
            calls.append(f"{function['name']}({ids.settled(function['arguments'])})")
    return calls


class _Ids:
    """Names for the generated ids and times of one run."""

    def __init__(self, asked: list[str]) -> None:
        self._asked = "\n".join(asked)
        self._names: dict[str, str] = {}
        self._results = 0

    def seen(self, result: str) -> None:
        """Take note of what a tool gave."""
        self._results += 1
        if _SUSPECT.search(result):
            for place, match in enumerate(_GENERATED.finditer(result)):
                self._names.setdefault(match.group(), f"*{self._results}.{place}")

    def settled(self, arguments: str) -> str:
        """Arguments with their ids by name, whatever the order of the keys."""
        with contextlib.suppress(msgspec.DecodeError, UnicodeEncodeError, OverflowError):
            arguments = stable_json(msgspec.json.decode(arguments)).decode()
        if _SUSPECT.search(arguments):
            arguments = _GENERATED.sub(self._name, arguments)
        return " ".join(arguments.split())

    def _name(self, match: re.Match[str]) -> str:
        value = match.group()
        return value if value in self._asked else self._names.get(value, "*")


def text_of(message: Chat) -> str:
    """What a message says; the text among blocks of several kinds, all other blocks as JSON."""
    content = message["content"]
    if isinstance(content, str):
        return content
    texts = [block["text"] for block in content if block.get("type") == "text"]
    others = [block for block in content if block.get("type") != "text"]
    return "\n".join([*texts, *(json.dumps(block, sort_keys=True) for block in others)])
