"""Split a model's text into content, reasoning and tool calls, whole or piece by piece.

`ReplyParser` splits a reply at the marks of a `ToolSyntax`; the readers of
`burnish.serving.toolcalls.tool_syntax` parse the text between them. The syntax comes from the
model's contract; without one, every syntax with distinctive marks is read.

The whole text and any division of it into pieces give the same result: a stream equals its answer.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Literal

from burnish.serving.toolcalls.call_readers import Reader
from burnish.serving.toolcalls.call_values import ParsedCall
from burnish.serving.toolcalls.tool_syntax import ToolSyntax, syntax_of, tool_schemas


@dataclasses.dataclass(frozen=True)
class ReplyPiece:
    """A part of a reply, in order."""

    kind: Literal["text", "reasoning", "call"]
    text: str = ""
    call: ParsedCall | None = None


@dataclasses.dataclass
class ParsedReply:
    """The parts of a whole reply."""

    content: str = ""
    reasoning: str = ""
    calls: list[ParsedCall] = dataclasses.field(default_factory=list)

    def add(self, piece: ReplyPiece) -> None:
        """Append a piece."""
        if piece.kind == "text":
            self.content += piece.text
        elif piece.kind == "reasoning":
            self.reasoning += piece.text
        elif piece.call is not None:
            self.calls.append(piece.call)


def parse_reply(
    text: str, syntax: str | None = None, *, tools: object = (), in_thought: bool = False
) -> ParsedReply:
    """Split a whole reply; the arguments are those of `ReplyParser`."""
    parser, reply = ReplyParser(syntax, tools=tools, in_thought=in_thought), ParsedReply()
    for piece in (*parser.feed(text), *parser.close()):
        reply.add(piece)
    return reply


class ReplyParser:
    """Splits a reply while it is generated.

    White space next to a tool call or after the reasoning is layout and is removed;
    any other text is kept exactly.

    Args:
        syntax: A name of `burnish.serving.toolcalls.tool_syntax.SYNTAXES`; by default every syntax
            with distinctive marks.
        tools: The offered tools in OpenAI's form, whose schemas give the types of plain values.
        in_thought: Whether the prompt ended within a thought that the template opened.
    """

    def __init__(
        self, syntax: str | None = None, *, tools: object = (), in_thought: bool = False
    ) -> None:
        self._syntax = syntax_of(syntax)
        self._schemas = tool_schemas(tools)
        self._marks = _marks_of(self._syntax)
        self._buffer = ""
        self._mode: Literal["start", "text", "think", "call"] = "start"
        self._thought_end = ""
        self._reader: Reader | None = None
        self._tried = 0  # length at which the reader of a call last needed more
        self._fed = self._read = 0  # characters received, and characters passed to readers of calls
        self._space = ""  # white space at the end so far: layout if a mark follows
        self._trim = False  # after a mark, white space is layout
        if in_thought:
            self._think(self._syntax.thoughts[0][1])

    def feed(self, text: str) -> list[ReplyPiece]:
        """Add the next part of the text; return the pieces that are complete."""
        self._buffer += text
        self._fed += len(text)
        pieces: list[ReplyPiece] = []
        while self._advance(pieces, last=False):
            pass
        return pieces

    def close(self) -> list[ReplyPiece]:
        """End the text; return the remaining pieces."""
        pieces: list[ReplyPiece] = []
        while self._advance(pieces, last=True):
            pass
        if self._space and self._mode == "text":
            pieces.append(ReplyPiece("text", self._space))
        self._space = ""
        return pieces

    def _advance(self, pieces: list[ReplyPiece], *, last: bool) -> bool:
        """Move the parser one step; return False if it needs more text."""
        if self._mode == "start":
            return self._begin(last)
        if self._mode == "think":
            return self._reason(pieces, last)
        if self._mode == "call":
            return self._call(pieces, last)
        return self._text(pieces, last)

    def _begin(self, last: bool) -> bool:
        """Read a thought, or a call without marks, at the start of the text."""
        head = self._buffer.lstrip()
        for opened, closed in self._syntax.thoughts:
            if head.startswith(opened):
                self._buffer = head[len(opened) :]
                self._think(closed)
                return True
            if not last and opened.startswith(head):
                return False
        if self._syntax.at_start and head.startswith(self._syntax.start):
            self._mode, self._reader, self._tried = "call", self._syntax.at_start, 0
            return True
        self._mode = "text"
        return bool(self._buffer)

    def _think(self, closed: str) -> None:
        self._mode, self._thought_end, self._space, self._trim = "think", closed, "", True

    def _reason(self, pieces: list[ReplyPiece], last: bool) -> bool:
        """Emit the thought up to its end mark, and skip the mark if it is present."""
        before, found, after = self._buffer.partition(self._thought_end)
        if not found and not last:
            keep = _overlap_with_mark(before, (self._thought_end,))
            before, after = before[: len(before) - keep], before[len(before) - keep :]
        self._emit("reasoning", before, pieces)
        self._buffer = after
        if found:
            self._mode, self._space, self._trim = "text", "", True
            if self._syntax.at_start and not self._syntax.inner_thoughts:
                self._mode = "start"
        return bool(found)

    def _text(self, pieces: list[ReplyPiece], last: bool) -> bool:
        """Emit the text before the next mark, and start to read what the mark opens."""
        found = self._marks.search(self._buffer)
        if found is not None and not last and self._may_grow(found):
            before, rest, mark = self._buffer[: found.start()], self._buffer[found.start() :], None
        elif found is not None:
            before, rest, mark = self._buffer[: found.start()], self._buffer[found.start() :], found
        else:
            keep = 0 if last else _overlap_with_mark(self._buffer, _all_marks(self._syntax))
            cut = len(self._buffer) - keep
            before, rest, mark = self._buffer[:cut], self._buffer[cut:], None
        self._emit("text", before, pieces)
        self._buffer = rest
        if mark is None:
            return False
        self._open(mark.group())
        return True

    def _may_grow(self, found: re.Match[str]) -> bool:
        """Return whether the text ends within a longer mark that begins like the found one."""
        tail = self._buffer[found.start() :]
        return any(
            len(mark) > len(tail) and mark.startswith(tail) for mark in _all_marks(self._syntax)
        )

    def _open(self, mark: str) -> None:
        if mark in self._syntax.openers:  # its reader decides whether preceding white space counts
            self._mode, self._reader, self._tried = "call", self._syntax.openers[mark], 0
            return
        self._buffer = self._buffer[len(mark) :]
        self._space, self._trim = "", True
        thoughts = dict(self._syntax.thoughts) if self._syntax.inner_thoughts else {}
        if mark in thoughts:
            self._think(thoughts[mark])

    def _call(self, pieces: list[ReplyPiece], last: bool) -> bool:
        # A call ends with a mark or a bracket: only these in the new text can end it.
        new = self._buffer[max(0, self._tried - 1) :]
        if not last and self._tried and not _DECIDES.search(new):
            self._tried = len(self._buffer)
            return False
        # A long call is read again only once it has grown by a quarter, so that the work stays
        # linear.
        spent = self._read > _FREE_WORK + _WORK * self._fed
        if not last and spent and len(self._buffer) < 1.25 * self._tried:
            return False
        self._tried = len(self._buffer)
        self._read += len(self._buffer)
        assert self._reader is not None  # noqa: S101 - the mode implies it
        block = self._reader(self._buffer, last, self._schemas)
        if block is None:
            return False
        text, self._buffer = self._buffer[: block.end], self._buffer[block.end :]
        bare = self._reader is self._syntax.at_start
        self._mode = "text"
        pieces += [ReplyPiece("call", call=call) for call in block.calls]
        if block.text:
            self._emit("text", text, pieces)
        else:
            self._space, self._trim = "", True
        if bare and block.calls:  # calls without marks may follow one another
            self._buffer, self._mode = self._buffer.lstrip("; \n"), "start"
        return True

    def _emit(
        self, kind: Literal["text", "reasoning"], text: str, pieces: list[ReplyPiece]
    ) -> None:
        text = self._space + text
        text = text.lstrip() if self._trim else text
        body = text.rstrip()
        self._space = text[len(body) :]
        if body:
            self._trim = False
            pieces.append(ReplyPiece(kind, body))


_FREE_WORK, _WORK = 1 << 16, 8
_DECIDES = re.compile(r"[>\]}|`\S]")


@functools.lru_cache
def _all_marks(syntax: ToolSyntax) -> tuple[str, ...]:
    thoughts = [opened for opened, _ in syntax.thoughts] if syntax.inner_thoughts else []
    marks = {*syntax.openers, *syntax.noise, *thoughts}
    return tuple(sorted(marks, key=len, reverse=True))


@functools.lru_cache
def _marks_of(syntax: ToolSyntax) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, _all_marks(syntax))))


def _overlap_with_mark(text: str, marks: tuple[str, ...]) -> int:
    """Return the length of the longest end of `text` that may start a mark."""
    for length in range(min(max(map(len, marks)) - 1, len(text)), 0, -1):
        tail = text[-length:]
        if any(len(mark) > length and mark.startswith(tail) for mark in marks):
            return length
    return 0


__all__ = ["ParsedCall", "ParsedReply", "ReplyParser", "ReplyPiece", "parse_reply"]
