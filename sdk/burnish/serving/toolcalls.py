"""From the text that a model writes to content, reasoning and tool calls, whole or piece by piece.

Knows: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` and `<think>...</think>`.
Does not know: tokens, chat models, whether a tool of that name exists.

The whole text and any cutting of it into pieces give the same result: a stream equals its answer.
"""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from typing import Literal

from burnish.records import Json

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_THINK, _THOUGHT = "<think>", "</think>"
_NAME = re.compile(r'"name"\s*:\s*"((?:[^"\\]|\\.)*)"')


@dataclasses.dataclass(frozen=True)
class Call:
    """A tool call as the model wrote it; without `arguments` it is malformed."""

    id: str
    name: str | None
    arguments: dict[str, Json] | None
    raw: str
    """The arguments as written; of a malformed call the whole block, marks included."""
    error: str | None = None


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a reply, in order."""

    kind: Literal["text", "reasoning", "call"]
    text: str = ""
    call: Call | None = None


@dataclasses.dataclass
class Reply:
    """A whole reply, taken apart."""

    content: str = ""
    reasoning: str = ""
    calls: list[Call] = dataclasses.field(default_factory=list)

    def add(self, piece: Piece) -> None:
        """Append a piece."""
        if piece.kind == "text":
            self.content += piece.text
        elif piece.kind == "reasoning":
            self.reasoning += piece.text
        elif piece.call is not None:
            self.calls.append(piece.call)


def parse_reply(text: str) -> Reply:
    """Take a whole reply apart."""
    parser, reply = ReplyParser(), Reply()
    for piece in (*parser.feed(text), *parser.close()):
        reply.add(piece)
    return reply


class ReplyParser:
    """Takes a reply apart while it is written.

    White space next to a tool call or after the reasoning belongs to the layout and is left out;
    any other text is given on exactly.
    """

    def __init__(self) -> None:
        self._buffer = ""
        self._mode: Literal["start", "text", "think", "call"] = "start"
        self._space = ""  # white space at the end of what came so far: layout if a mark follows
        self._trim = False  # after a mark, white space is layout

    def feed(self, text: str) -> list[Piece]:
        """Take the next part of the text; returns what is now certain."""
        self._buffer += text
        pieces: list[Piece] = []
        while self._advance(pieces, last=False):
            pass
        return pieces

    def close(self) -> list[Piece]:
        """The text is over; returns the rest."""
        pieces: list[Piece] = []
        while self._advance(pieces, last=True):
            pass
        if self._space and self._mode == "text":
            pieces.append(Piece("text", self._space))
        self._space = ""
        return pieces

    def _advance(self, pieces: list[Piece], *, last: bool) -> bool:
        """One move of the parser; false when it must wait for more text."""
        if self._mode == "start":
            return self._begin(last)
        if self._mode == "think":
            return self._until(_THOUGHT, "reasoning", pieces, last)
        if self._mode == "call":
            return self._call(pieces, last)
        return self._until(_OPEN, "text", pieces, last)

    def _begin(self, last: bool) -> bool:
        """Reasoning can only stand at the very start."""
        head = self._buffer.lstrip()
        if head.startswith(_THINK):
            self._buffer, self._mode, self._trim = head[len(_THINK) :], "think", True
            return True
        if not last and _THINK.startswith(head):
            return False
        self._mode = "text"
        return bool(self._buffer)

    def _until(
        self, mark: str, kind: Literal["text", "reasoning"], pieces: list[Piece], last: bool
    ) -> bool:
        """Give on everything before a mark, and go over it if it is there."""
        before, found, after = self._buffer.partition(mark)
        if not found and not last:
            keep = _overlap(before, mark)
            before, after = before[: len(before) - keep], before[len(before) - keep :]
        self._emit(kind, before, pieces)
        self._buffer = after
        if found:
            self._mode = "call" if kind == "text" else "text"
            self._space, self._trim = "", True
        return bool(found)

    def _emit(self, kind: Literal["text", "reasoning"], text: str, pieces: list[Piece]) -> None:
        text = self._space + text
        text = text.lstrip() if self._trim else text
        body = text.rstrip()
        self._space = text[len(body) :]
        if body:
            self._trim = False
            pieces.append(Piece(kind, body))

    def _call(self, pieces: list[Piece], last: bool) -> bool:
        raw, found, after = self._buffer.partition(_CLOSE)
        if not found and not last:
            return False
        self._buffer, self._mode = after, "text"
        pieces.append(Piece("call", call=_parse_call(raw, closed=bool(found))))
        return True


def _overlap(text: str, mark: str) -> int:
    """Length of the longest end of `text` that could be the start of `mark`."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if mark.startswith(text[-length:]):
            return length
    return 0


def _parse_call(raw: str, *, closed: bool) -> Call:
    identity = f"call_{uuid.uuid4().hex[:24]}"
    block = f"{_OPEN}{raw}{_CLOSE if closed else ''}"
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        match = _NAME.search(raw)
        name = match.group(1) if match else None
        return Call(identity, name, None, block, f"no JSON: {error}")
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name:
        return Call(identity, None, None, block, "no name of a tool")
    arguments = value.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            arguments = None
    if not isinstance(arguments, dict):
        return Call(identity, name, None, block, "arguments are no object")
    return Call(identity, name, arguments, json.dumps(arguments, ensure_ascii=False))
