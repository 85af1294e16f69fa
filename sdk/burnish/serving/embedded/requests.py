"""What the engine is asked and what it answers, and a request while it runs.

Knows: token ids in, token ids out, when a request is over.
Does not know: text, other requests, the model.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import random
from collections.abc import Callable, Sequence

from burnish.serving.embedded.sampling import GREEDY, Sampling
from burnish.serving.embedded.slots import Slot


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """One thing to generate."""

    prompt: Sequence[int]
    """Token ids of the whole prompt."""
    adapter: str | None = None
    """A loaded adapter version; none is the base model."""
    max_tokens: int = 512
    """The longest answer; every generation ends there."""
    sampling: Sampling = GREEDY
    top_logprobs: int = 0
    """So many of the likeliest tokens are told at each place."""
    stop: Callable[[list[int]], bool] | None = None
    """Asked after each token, in the worker's thread; true ends the answer."""
    on_token: Callable[[int], None] | None = None
    """Told each token as it comes, in the worker's thread; must be quick and not raise."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What was generated, and by whom."""

    prompt_token_ids: list[int]
    token_ids: list[int]
    """The answer, with the end mark if the model wrote one."""
    logprobs: list[float]
    """Of each token, by the model itself, before temperature and top-p."""
    finish_reason: str
    """One of "stop" and "length"."""
    ended: bool
    """Whether the last token is the model's end mark."""
    adapter: str | None
    """The version whose slot the request was admitted with."""
    tops: list[list[tuple[int, float]]] = dataclasses.field(default_factory=list)
    """The likeliest tokens at each place with their log-probabilities, where they were asked for."""


AnswerFuture = concurrent.futures.Future[Answer]


@dataclasses.dataclass(eq=False)
class Running:
    """A request with its slot, from admission to its end."""

    request: Request
    slot: Slot | None
    future: AnswerFuture
    stream: random.Random | None
    arrived: float
    limit: int  # tokens of the answer, at most
    tokens: list[int] = dataclasses.field(default_factory=list)
    logprobs: list[float] = dataclasses.field(default_factory=list)
    tops: list[list[tuple[int, float]]] = dataclasses.field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens in the pool: the prompt and all answered tokens but the last."""
        return len(self.request.prompt) + len(self.tokens) - 1

    def add(self, token: int, logprob: float, stops: frozenset[int]) -> str | None:
        """Take the next token; returns why the request is over, or none while it is not."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        if self.request.on_token is not None:
            self.request.on_token(token)
        if token in stops or (self.request.stop is not None and self.request.stop(self.tokens)):
            return "stop"
        return "length" if len(self.tokens) >= self.limit else None

    def answer(self, reason: str, stops: frozenset[int]) -> Answer:
        """The finished answer."""
        return Answer(
            prompt_token_ids=list(self.request.prompt),
            token_ids=self.tokens,
            logprobs=self.logprobs,
            finish_reason=reason,
            ended=bool(self.tokens) and self.tokens[-1] in stops,
            adapter=self.slot.version if self.slot else None,
            tops=self.tops,
        )
