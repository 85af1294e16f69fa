"""Check that a chat template prints a conversation completely: every piece, once, in order.

`make_stand_in` replaces every text, name, argument and result of a conversation by a word that
occurs nowhere else, and `first_fault` looks for each word in its rendering; the result holds for
all conversations of the same structure. `first_changed` looks for the real texts in the real
rendering, for templates that treat some texts in another way.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

ChatMessage = dict[str, Any]
Render = Callable[[Sequence[ChatMessage], Any, bool], str]


@dataclasses.dataclass(frozen=True, slots=True)
class PrintedPiece:
    """One text that must be printed."""

    word: str
    kind: str
    message: int
    once: bool = True
    """True if the text may be printed only once; names of tools also appear beside their results."""


@dataclasses.dataclass(frozen=True, slots=True)
class StandInConversation:
    """A conversation of words that occur nowhere else, with the pieces that must be printed."""

    messages: list[ChatMessage]
    tools: list[Any]
    pieces: list[PrintedPiece]
    tool_names: list[str]


def describe_structure(messages: Sequence[ChatMessage], tools: Sequence[Any]) -> Hashable:
    """Describe a conversation without its texts, as a key."""
    return (len(tools or ()), tuple(_message_structure(message) for message in messages))


def _message_structure(message: ChatMessage) -> Hashable:
    calls = tuple(
        json.dumps(_value_shape((call.get("function") or {}).get("arguments")), sort_keys=False)
        for call in message.get("tool_calls") or ()
    )
    return (
        message.get("role"),
        bool(message.get("content")),
        bool(message.get("reasoning_content")),
        calls,
        message.get("tool_call_id") is not None,
    )


def _value_shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _value_shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_value_shape(one) for one in value]
    return type(value).__name__


def make_stand_in(messages: Sequence[ChatMessage], tools: Sequence[Any]) -> StandInConversation:
    """Return a copy of a conversation with the same structure and other, unique words."""
    numbers = itertools.count(1)
    pieces: list[PrintedPiece] = []
    made: list[ChatMessage] = []
    names: dict[str, str] = {}
    for at, message in enumerate(messages):
        clean = dict(message)
        if message.get("content"):
            kind = "tool results" if message.get("role") == "tool" else "text"
            clean["content"] = _unique_word(numbers, pieces, kind, at)
        if message.get("reasoning_content"):
            clean["reasoning_content"] = f"Zq{next(numbers)}thought"
        if message.get("tool_calls"):
            clean["tool_calls"] = [
                _stand_call(call, numbers, pieces, at, names) for call in message["tool_calls"]
            ]
        if message.get("role") == "tool" and message.get("name"):
            clean["name"] = names.get(str(message["name"]), str(message["name"]))
        made.append(clean)
    stood = [_stand_tool(tool, f"Zqoffered{at}x") for at, tool in enumerate(tools or ())]
    return StandInConversation(made, stood, pieces, [f"Zqoffered{at}x" for at in range(len(stood))])


def _unique_word(numbers: Iterator[int], pieces: list[PrintedPiece], kind: str, at: int) -> str:
    word = f"Zq{next(numbers)}x"
    pieces.append(PrintedPiece(word, kind, at))
    return word


def _stand_call(
    call: dict[str, Any],
    numbers: Iterator[int],
    pieces: list[PrintedPiece],
    at: int,
    names: dict[str, str],
) -> dict[str, Any]:
    function = dict(call.get("function") or {})
    name = f"Zq{next(numbers)}name"
    names[str(function.get("name"))] = name
    pieces.append(PrintedPiece(name, "tool calls", at, once=False))
    arguments = _stand_value(function.get("arguments"), numbers, pieces, at)
    return {**call, "function": {**function, "name": name, "arguments": arguments}}


def _stand_value(value: Any, numbers: Iterator[int], pieces: list[PrintedPiece], at: int) -> Any:
    if isinstance(value, dict):
        return {key: _stand_value(one, numbers, pieces, at) for key, one in value.items()}
    if isinstance(value, list):
        return [_stand_value(one, numbers, pieces, at) for one in value]
    if isinstance(value, str):
        return _unique_word(numbers, pieces, "arguments of tool calls", at)
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = 7_000_000 + next(numbers)
        pieces.append(PrintedPiece(str(number), "arguments of tool calls", at))
        return number
    return value


def _stand_tool(tool: Any, name: str) -> Any:
    if isinstance(tool, dict) and isinstance(tool.get("function"), dict):
        return {**tool, "function": {**tool["function"], "name": name}}
    return {**tool, "name": name} if isinstance(tool, dict) else tool


def first_fault(text: str, stand: StandInConversation) -> str | None:
    """Return the fault of a rendered copy; None if every piece is there, once and in order."""
    for name in stand.tool_names:
        if name not in text:
            return "leaves out the offered tools"
    reached = behind = 0
    for _, group in itertools.groupby(stand.pieces, key=lambda piece: piece.message):
        for piece in group:
            found = text.find(piece.word)
            if found < 0:
                return f"leaves out {piece.kind}"
            if piece.once and text.count(piece.word) > 1:
                return f"prints {piece.kind} more than once"
            if found < reached:
                return f"prints {piece.kind} in another order"
            behind = max(behind, found + len(piece.word))
        reached = behind
    return None


def first_changed(text: str, messages: Sequence[ChatMessage]) -> str | None:
    """Return which real text a rendering lacks; None if each is there, in order.

    Results of tools may also be printed as JSON spells them.
    """
    at = 0
    for message in messages:
        content = str(message.get("content") or "").strip()
        result = message.get("role") == "tool"
        spelled = _spellings(content) if result else (content,)
        places = [(text.find(one, at), len(one)) for one in spelled]
        found, length = min((place for place in places if place[0] >= 0), default=(-1, 0))
        if found < 0:
            return "changes tool results" if result else "changes text"
        at = found + length
    return None


def lacks_arguments(text: str, reply: ChatMessage) -> bool:
    """Report if a rendered reply lacks the name or a text argument of one of its calls."""
    for call in reply.get("tool_calls") or ():
        function = call.get("function") or {}
        if str(function.get("name") or "") not in text:
            return True
        if not all(_is_printed(value, text) for value in _nested_texts(function.get("arguments"))):
            return True
    return False


def _nested_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _nested_texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _nested_texts(one)


def _is_printed(value: str, text: str) -> bool:
    """Report if a text is printed unchanged, or as JSON or Python spell it."""
    return any(one in text for one in _spellings(value))


def _spellings(value: str) -> tuple[str, ...]:
    """Return a text unchanged, and as JSON, HTML-safe JSON and Python spell it."""
    plain = json.dumps(value, ensure_ascii=False)[1:-1]
    html = plain.translate({ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&'"})
    return (value, plain, json.dumps(value)[1:-1], repr(value)[1:-1], value.strip(), html)
