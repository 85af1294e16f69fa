"""Convert chat requests to engine requests, and answers to replies.

Rendering and parsing happen in the caller's thread, never in the engine's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from burnish.errors import ServingError
from burnish.records import Json
from burnish.serving.embedded.engine import Engine
from burnish.serving.embedded.renderer import Renderer, TextStream
from burnish.serving.embedded.requests import EngineAnswer, EngineRequest
from burnish.serving.embedded.sampling import GREEDY, Sampling
from burnish.serving.messages import chat_call
from burnish.serving.toolcalls.reply_parser import ParsedReply, ReplyParser, ReplyPiece, parse_reply
from burnish.serving.toolcalls.tool_syntax import syntax_of

_TAIL = 64  # last tokens of a prompt that are searched for an open thought


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChatAsk:
    """A request in chat form."""

    messages: Sequence[dict[str, Json]]
    tools: Sequence[dict[str, Json]] = ()
    adapter: str | None = None
    max_tokens: int = 512
    sampling: Sampling = GREEDY
    stop: tuple[str, ...] = ()
    top_logprobs: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinishedAnswer:
    """An answer with its text."""

    answer: EngineAnswer
    text: str
    reply: ParsedReply

    @property
    def content(self) -> str:
        """Text of the reply; a malformed tool call is part of it, as written."""
        broken = [call.raw for call in self.reply.calls if call.arguments is None]
        return "".join((self.reply.content, *broken))

    @property
    def tool_calls(self) -> list[dict[str, Json]]:
        """The well-formed tool calls in OpenAI's form, with arguments as JSON text."""
        return [
            chat_call(call.id, call.name or "", call.raw)
            for call in self.reply.calls
            if call.arguments is not None
        ]

    @property
    def finish_reason(self) -> str:
        """One of "tool_calls" (at least one is well-formed), "stop" and "length"."""
        called = any(call.arguments is not None for call in self.reply.calls)
        return "tool_calls" if called else self.answer.finish_reason


class Session:
    """A model with its tokenizer: text in, text out.

    Args:
        base_model: A folder or a name, see `burnish.serving.contract.base_models.resolve_model`.
        engine: An engine other than the shared one of this process.
    """

    def __init__(self, base_model: str | Path, engine: Engine | None = None) -> None:
        self.engine = engine or Engine.shared(base_model)
        self.renderer = Renderer.shared(self.engine.facts.folder)
        self.syntax = self.engine.contract.syntax
        self._thought = syntax_of(self.syntax).thoughts[0][0]

    def make_request(
        self, ask: ChatAsk, on_token: Callable[[int], None] | None = None
    ) -> EngineRequest:
        """Render a request.

        Raises:
            ServingError: If the template refuses it, or it certainly exceeds the context.
        """
        self._refuse_too_long(sum(map(_count_characters, (*ask.messages, *ask.tools))))
        return EngineRequest(
            prompt=self.renderer.render_ids(ask.messages, ask.tools),
            adapter=ask.adapter,
            max_tokens=ask.max_tokens,
            sampling=ask.sampling,
            top_logprobs=ask.top_logprobs,
            stop=self.make_stopper(ask.stop),
            on_token=on_token,
        )

    def encode_text(self, text: str) -> list[int]:
        """Return the token ids of a text.

        Raises:
            ServingError: If it certainly exceeds the context.
        """
        self._refuse_too_long(len(text))
        return self.renderer.encode(text)

    def _refuse_too_long(self, characters: int) -> None:
        """Check the length before tokenising, which takes seconds for megabytes."""
        room = self.engine.facts.context * self.renderer.longest_token
        if characters > room:
            raise ServingError(
                f"a conversation of {characters} characters",
                f"at most {self.engine.facts.context} tokens, so at most {room} characters",
                "shorten the conversation",
            )

    def finish_answer(self, answer: EngineAnswer, ask: ChatAsk | None = None) -> FinishedAnswer:
        """Parse an answer: its text without end mark and stop text, and its parts."""
        stop, tools = (ask.stop, ask.tools) if ask else ((), ())
        text = cut_at_stop(self.renderer.decode(self.strip_end_mark(answer)), stop)
        reply = parse_reply(
            text,
            self.syntax,
            tools=tools,
            in_thought=self._ends_in_thought(answer.prompt_token_ids),
        )
        return FinishedAnswer(answer=answer, text=text, reply=reply)

    def make_parser(self, ask: ChatAsk) -> ReplyParser:
        """Make the parser of a request's reply."""
        return ReplyParser(self.syntax, tools=ask.tools, in_thought=self._opens_thought(ask))

    def _opens_thought(self, ask: ChatAsk) -> bool:
        """Return True if the prompt of a request ends inside a thought that the template opened."""
        if self._thought not in self.renderer.template:
            return False
        return self.renderer.render_text(ask.messages, ask.tools).rstrip().endswith(self._thought)

    def _ends_in_thought(self, prompt: Sequence[int]) -> bool:
        if self._thought not in self.renderer.template:
            return False
        return self.renderer.decode(prompt[-_TAIL:]).rstrip().endswith(self._thought)

    def strip_end_mark(self, answer: EngineAnswer) -> list[int]:
        """Return the tokens of an answer without the end mark."""
        return answer.token_ids[:-1] if answer.ended else answer.token_ids

    def is_end(self, token: int) -> bool:
        """Return True if a token is an end mark of the model."""
        return token in self.engine.facts.stops

    def make_stopper(self, stop: tuple[str, ...]) -> Callable[[list[int]], bool] | None:
        """Make the function that finds a stop text in answer tokens; None without stop texts."""
        if not stop:
            return None
        longest = max(map(len, stop))

        def stopped(tokens: list[int]) -> bool:
            # A token is at least one byte of a character, so this tail is long enough.
            tail = self.renderer.decode(tokens[-4 * longest - 4 :])
            return any(text in tail for text in stop)

        return stopped


class ReplyStream:
    """Parses a reply token by token; all pieces together are the whole reply."""

    def __init__(self, session: Session, ask: ChatAsk) -> None:
        self._session = session
        self._text = TextStream(session.renderer)
        self._parser = session.make_parser(ask)
        self._stop = ask.stop
        self._held = ""  # text that may begin a stop text
        self._over = False
        self.reply = ParsedReply()

    def add_token(self, token: int) -> list[ReplyPiece]:
        """Add the next token; return the pieces that are complete."""
        if self._over or self._session.is_end(token):
            return []
        return self._add_text(self._text.add_token(token), last=False)

    def close(self) -> list[ReplyPiece]:
        """End the answer; return the remaining pieces."""
        pieces = [] if self._over else self._add_text(self._text.flush_text(), last=True)
        return pieces + self._keep_pieces(self._parser.close())

    def _add_text(self, text: str, *, last: bool) -> list[ReplyPiece]:
        text = self._held + text
        kept = cut_at_stop(text, self._stop)
        self._over = kept != text
        hold = 0 if last or self._over else _count_held(text, self._stop)
        self._held = text[len(text) - hold :]
        return self._keep_pieces(self._parser.feed(kept[: len(kept) - hold]))

    def _keep_pieces(self, pieces: list[ReplyPiece]) -> list[ReplyPiece]:
        for piece in pieces:
            self.reply.add(piece)
        return pieces


def _count_characters(value: Json) -> int:
    """Count the characters of all texts in a value."""
    length, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            length += len(item)
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, (list, tuple)):
            waiting.extend(item)
    return length


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """Return a text up to its first stop text."""
    found = [at for at in (text.find(mark) for mark in stop) if at >= 0]
    return text[: min(found)] if found else text


def _count_held(text: str, stop: Sequence[str]) -> int:
    """Return the length of a text's end that may begin a stop text."""
    longest = max(map(len, stop), default=0)
    for length in range(min(longest - 1, len(text)), 0, -1):
        if any(mark.startswith(text[-length:]) for mark in stop):
            return length
    return 0
