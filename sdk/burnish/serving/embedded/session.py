"""One request in terms of text: rendered, generated, taken apart.

Knows: how messages become a request of the engine and an answer becomes a reply.
Does not know: LangChain, HTTP.

Rendering and taking apart happen in the caller's thread, never in the engine's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from burnish.errors import ServingError
from burnish.records import Json
from burnish.serving.embedded.engine import Engine
from burnish.serving.embedded.renderer import Renderer, TextStream
from burnish.serving.embedded.requests import Answer, Request
from burnish.serving.embedded.sampling import GREEDY, Sampling
from burnish.serving.messages import chat_call
from burnish.serving.tool_syntax import syntax_of
from burnish.serving.toolcalls import Piece, Reply, ReplyParser, parse_reply

_TAIL = 64  # tokens of a prompt in which the mark of a thought lies, if it ends with one


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ask:
    """What to generate, in chat form."""

    messages: Sequence[dict[str, Json]]
    tools: Sequence[dict[str, Json]] = ()
    adapter: str | None = None
    max_tokens: int = 512
    sampling: Sampling = GREEDY
    stop: tuple[str, ...] = ()
    top_logprobs: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished:
    """An answer with its text."""

    answer: Answer
    text: str
    reply: Reply

    @property
    def content(self) -> str:
        """What was said; a malformed tool call stands in it as it was written."""
        broken = [call.raw for call in self.reply.calls if call.arguments is None]
        return "".join((self.reply.content, *broken))

    @property
    def tool_calls(self) -> list[dict[str, Json]]:
        """The well-formed tool calls as OpenAI's API has them, arguments as JSON text."""
        return [
            chat_call(call.id, call.name or "", call.raw)
            for call in self.reply.calls
            if call.arguments is not None
        ]

    @property
    def finish_reason(self) -> str:
        """One of "tool_calls" (a well-formed one is there), "stop" and "length"."""
        called = any(call.arguments is not None for call in self.reply.calls)
        return "tool_calls" if called else self.answer.finish_reason


class Session:
    """A model with its tokenizer: text in, text out.

    Args:
        base_model: A folder or a name, see `burnish.serving.models.resolve_model`.
        engine: Another engine than the shared one of this process.
    """

    def __init__(self, base_model: str | Path, engine: Engine | None = None) -> None:
        self.engine = engine or Engine.shared(base_model)
        self.renderer = Renderer.shared(self.engine.facts.folder)
        self.syntax = self.engine.contract.syntax
        self._thought = syntax_of(self.syntax).thoughts[0][0]

    def request(self, ask: Ask, on_token: Callable[[int], None] | None = None) -> Request:
        """Render a request.

        Raises:
            ServingError: If the template refuses it, or it is longer than the context for certain.
        """
        self._refuse_too_long(sum(map(_length, (*ask.messages, *ask.tools))))
        return Request(
            prompt=self.renderer.prompt(ask.messages, ask.tools),
            adapter=ask.adapter,
            max_tokens=ask.max_tokens,
            sampling=ask.sampling,
            top_logprobs=ask.top_logprobs,
            stop=self.stopper(ask.stop),
            on_token=on_token,
        )

    def encode(self, text: str) -> list[int]:
        """Token ids of a text.

        Raises:
            ServingError: If it is longer than the context for certain.
        """
        self._refuse_too_long(len(text))
        return self.renderer.encode(text)

    def _refuse_too_long(self, characters: int) -> None:
        """Look at the length before tokenising, which takes seconds for megabytes."""
        room = self.engine.facts.context * self.renderer.longest_token
        if characters > room:
            raise ServingError(
                f"a conversation of {characters} characters",
                f"at most {self.engine.facts.context} tokens, so at most {room} characters",
                "shorten the conversation",
            )

    def finish(self, answer: Answer, ask: Ask | None = None) -> Finished:
        """Take an answer apart: its text without end mark and stop text, and its parts."""
        stop, tools = (ask.stop, ask.tools) if ask else ((), ())
        text = cut(self.renderer.decode(self.written(answer)), stop)
        reply = parse_reply(
            text,
            self.syntax,
            tools=tools,
            in_thought=self._ends_in_thought(answer.prompt_token_ids),
        )
        return Finished(answer=answer, text=text, reply=reply)

    def parser(self, ask: Ask) -> ReplyParser:
        """Make the parser of a request's reply."""
        return ReplyParser(self.syntax, tools=ask.tools, in_thought=self._opens_thought(ask))

    def _opens_thought(self, ask: Ask) -> bool:
        """Say whether the prompt of a request ends within a thought that the template opened."""
        if self._thought not in self.renderer.template:
            return False
        return self.renderer.prompt_text(ask.messages, ask.tools).rstrip().endswith(self._thought)

    def _ends_in_thought(self, prompt: Sequence[int]) -> bool:
        if self._thought not in self.renderer.template:
            return False
        return self.renderer.decode(prompt[-_TAIL:]).rstrip().endswith(self._thought)

    def written(self, answer: Answer) -> list[int]:
        """The tokens of an answer without the end mark."""
        return answer.token_ids[:-1] if answer.ended else answer.token_ids

    def is_end(self, token: int) -> bool:
        """Whether a token is an end mark of the model."""
        return token in self.engine.facts.stops

    def stopper(self, stop: tuple[str, ...]) -> Callable[[list[int]], bool] | None:
        """What tells from the tokens of an answer that a stop text is in it; none without any."""
        if not stop:
            return None
        longest = max(map(len, stop))

        def stopped(tokens: list[int]) -> bool:
            # A token is at least one character or a part of one: this tail is long enough.
            tail = self.renderer.decode(tokens[-4 * longest - 4 :])
            return any(text in tail for text in stop)

        return stopped


class ReplyStream:
    """Pieces of a reply while its tokens come; all of them together are the whole reply."""

    def __init__(self, session: Session, ask: Ask) -> None:
        self._session = session
        self._text = TextStream(session.renderer)
        self._parser = session.parser(ask)
        self._stop = ask.stop
        self._held = ""  # text that may be the start of a stop text
        self._over = False
        self.reply = Reply()

    def feed(self, token: int) -> list[Piece]:
        """Take the next token; returns the pieces that are now certain."""
        if self._over or self._session.is_end(token):
            return []
        return self._take(self._text.feed(token), last=False)

    def close(self) -> list[Piece]:
        """The answer is over; returns the rest."""
        pieces = [] if self._over else self._take(self._text.rest(), last=True)
        return pieces + self._keep(self._parser.close())

    def _take(self, text: str, *, last: bool) -> list[Piece]:
        text = self._held + text
        kept = cut(text, self._stop)
        self._over = kept != text
        hold = 0 if last or self._over else _held(text, self._stop)
        self._held = text[len(text) - hold :]
        return self._keep(self._parser.feed(kept[: len(kept) - hold]))

    def _keep(self, pieces: list[Piece]) -> list[Piece]:
        for piece in pieces:
            self.reply.add(piece)
        return pieces


def _length(value: Json) -> int:
    """Characters of all texts in a value."""
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


def cut(text: str, stop: Sequence[str]) -> str:
    """A text up to the first stop text in it."""
    found = [at for at in (text.find(mark) for mark in stop) if at >= 0]
    return text[: min(found)] if found else text


def _held(text: str, stop: Sequence[str]) -> int:
    """Length of the end of a text that could be the start of a stop text."""
    longest = max(map(len, stop), default=0)
    for length in range(min(longest - 1, len(text)), 0, -1):
        if any(mark.startswith(text[-length:]) for mark in stop):
            return length
    return 0
