"""Define requests and answers of the engine, in token ids, and the state of a running request."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import random
from collections.abc import Callable, Sequence

from burnish.serving.embedded.sampling import GREEDY, Sampling
from burnish.serving.embedded.slots import Slot


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineRequest:
    """One request to generate."""

    prompt: Sequence[int]
    """Token ids of the whole prompt."""
    adapter: str | None = None
    """A loaded adapter version; None is the base model."""
    max_tokens: int = 512
    """Largest number of answer tokens."""
    sampling: Sampling = GREEDY
    top_logprobs: int = 0
    """Number of likeliest tokens to return at each position."""
    stop: Callable[[list[int]], bool] | None = None
    """Called after each token, in the worker's thread; True ends the answer."""
    on_token: Callable[[int], None] | None = None
    """Called with each token, in the worker's thread; must be fast and not raise."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineAnswer:
    """A generated answer, with the version that generated it."""

    prompt_token_ids: list[int]
    token_ids: list[int]
    """Tokens of the answer, with the end mark if the model wrote one."""
    logprobs: list[float]
    """Log-probability of each token by the model, before temperature and top-p."""
    finish_reason: str
    """One of "stop" and "length"."""
    ended: bool
    """True if the last token is the model's end mark."""
    adapter: str | None
    """The version whose slot the request used."""
    tops: list[list[tuple[int, float]]] = dataclasses.field(default_factory=list)
    """The likeliest tokens at each position with their log-probabilities, if requested."""


AnswerFuture = concurrent.futures.Future[EngineAnswer]


@dataclasses.dataclass(eq=False)
class RunningRequest:
    """A request with its slot, from admission to its end."""

    request: EngineRequest
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
        """Tokens in the pool: the prompt and all answer tokens but the last."""
        return len(self.request.prompt) + len(self.tokens) - 1

    def add_token(self, token: int, logprob: float, stops: frozenset[int]) -> str | None:
        """Add the next token; return the finish reason, or None while the request runs."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        if self.request.on_token is not None:
            self.request.on_token(token)
        if token in stops or (self.request.stop is not None and self.request.stop(self.tokens)):
            return "stop"
        return "length" if len(self.tokens) >= self.limit else None

    def make_answer(self, reason: str, stops: frozenset[int]) -> EngineAnswer:
        """Make the finished answer."""
        return EngineAnswer(
            prompt_token_ids=list(self.request.prompt),
            token_ids=self.tokens,
            logprobs=self.logprobs,
            finish_reason=reason,
            ended=bool(self.tokens) and self.tokens[-1] in stops,
            adapter=self.slot.version if self.slot else None,
            tops=self.tops,
        )
