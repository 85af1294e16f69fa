"""Compute the keys by which rows are compared: the same conversation, the same request and actions."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import msgspec

from burnish.files.storage import BROKEN_JSON
from burnish.trajectories.normal_form import comparable_text, normal_text
from burnish_exporters.rows.canonical_json import hash_json, stable_json
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
    """Return a key that is equal for conversations that are the same up to the ids of their calls."""
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
    return hash_json(reduced)


def request_of(messages: list[Chat]) -> str:
    """Return the user messages, one a line, normalised."""
    return "\n".join(normal_text(text_of(m)) for m in messages if m["role"] == "user")


def action_key(messages: list[Chat], actions: list[str] | None = None) -> str:
    """Return a key that is equal for runs with the same request and calls, up to times and generated ids.

    An id that the request names is part of the request. An id from a tool result is replaced by its
    place in the results, so that two runs that picked different entries stay different.

    Args:
        messages: A conversation in chat form.
        actions: What `actions_of` returns for it, if that is known.
    """
    asked = [comparable_text(text_of(m)) for m in messages if m["role"] == "user"]
    return hash_json([asked, actions_of(messages) if actions is None else actions])


def actions_of(messages: list[Chat]) -> list[str]:
    """Return the key of each call, in order, up to times and generated ids."""
    ids = _IdNames([normal_text(text_of(m)) for m in messages if m["role"] == "user"])
    calls = []
    for message in messages:
        if message["role"] == "tool":
            ids.name_ids(text_of(message))
        for call in message.get("tool_calls") or ():
            function = call["function"]
            calls.append(f"{function['name']}({ids.replace_ids(function['arguments'])})")
    return calls


class _IdNames:
    """Stable names for the generated ids and times of one run."""

    def __init__(self, asked: list[str]) -> None:
        self._asked = "\n".join(asked)
        self._names: dict[str, str] = {}
        self._results = 0

    def name_ids(self, result: str) -> None:
        """Name the ids of a tool result."""
        self._results += 1
        if _SUSPECT.search(result):
            for place, match in enumerate(_GENERATED.finditer(result)):
                self._names.setdefault(match.group(), f"*{self._results}.{place}")

    def replace_ids(self, arguments: str) -> str:
        """Replace the ids of arguments by their names, and sort the keys."""
        with contextlib.suppress(OverflowError, *BROKEN_JSON):
            arguments = stable_json(msgspec.json.decode(arguments)).decode()
        if _SUSPECT.search(arguments):
            arguments = _GENERATED.sub(self._replace_id, arguments)
        return " ".join(arguments.split())

    def _replace_id(self, match: re.Match[str]) -> str:
        value = match.group()
        return value if value in self._asked else self._names.get(value, "*")


def text_of(message: Chat) -> str:
    """Return the text of a message; text blocks first, all other blocks as JSON."""
    content = message["content"]
    if isinstance(content, str):
        return content
    texts = [block["text"] for block in content if block.get("type") == "text"]
    others = [block for block in content if block.get("type") != "text"]
    return "\n".join([*texts, *(json.dumps(block, sort_keys=True) for block in others)])
