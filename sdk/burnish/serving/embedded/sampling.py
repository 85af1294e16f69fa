"""The choice of the next token, for a batch whose rows have settings of their own.

Knows: greedy choice, temperature, top-p, one stream of random numbers per request.
Does not know: batches over time, slots, text.

A row's numbers come from its own seed and prompt, so a neighbour in the batch never changes them.
Log-probabilities are the model's own, before temperature and top-p. Axes: `B` rows, `V` vocabulary.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import random
from collections.abc import Sequence

import torch

from burnish.errors import ServingError

_LEAST = 1e-5  # a temperature below takes the likeliest token


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a request's tokens are chosen."""

    temperature: float = 0.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    """Share of the probability, likeliest first, that is drawn from; over 0, up to 1."""
    seed: int | None = None
    """The same seed and prompt draw the same numbers; none draws afresh each time."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ServingError(
                f"temperature is {self.temperature}", "a number of at least 0", "temperature=0.0"
            )
        if not 0 < self.top_p <= 1:
            raise ServingError(f"top_p is {self.top_p}", "a share over 0, up to 1", "top_p=1.0")

    def stream(self, prompt: Sequence[int]) -> random.Random | None:
        """The random numbers of one request; none is needed for greedy choice."""
        if self.temperature < _LEAST:
            return None
        if self.seed is None:
            return random.Random()  # noqa: S311 - sampling, no secret
        key = f"{self.seed}:{','.join(map(str, prompt))}".encode()
        return random.Random(hashlib.blake2b(key, digest_size=16).digest())  # noqa: S311


GREEDY = Sampling()


@dataclasses.dataclass(frozen=True)
class Choice:
    """The chosen tokens of a batch; a log-probability that is not finite tells of broken logits."""

    tokens: list[int]
    logprobs: list[float]


def choose(
    logits: torch.Tensor, settings: Sequence[Sampling], streams: Sequence[random.Random | None]
) -> Choice:
    """Choose one token per row of `B x V` logits."""
    tokens = logits.argmax(-1)
    drawn = [row for row, stream in enumerate(streams) if stream is not None]
    if drawn:
        at = torch.tensor(drawn, device=logits.device)
        numbers = [stream.random() for stream in streams if stream is not None]
        tokens[at] = _draw(logits[at], [settings[row] for row in drawn], numbers)
    chosen = logits.gather(1, tokens[:, None])[:, 0]
    logprobs = chosen - logits.logsumexp(-1)
    return Choice(tokens.tolist(), logprobs.tolist())


def _draw(
    logits: torch.Tensor, settings: Sequence[Sampling], numbers: Sequence[float]
) -> torch.Tensor:
    """One token per row from its own number in [0, 1), by inversion."""
    temperatures = torch.tensor([s.temperature for s in settings], device=logits.device)
    shares = (logits / temperatures[:, None]).softmax(-1)
    order = None
    if any(s.top_p < 1 for s in settings):
        top = torch.tensor([s.top_p for s in settings], device=logits.device)
        shares, order = shares.sort(dim=-1, descending=True, stable=True)
        before = shares.cumsum(-1) - shares
        shares = shares.masked_fill(before >= top[:, None], 0.0)
    reach = shares.double().cumsum(-1)
    at = torch.tensor(numbers, device=logits.device, dtype=torch.float64) * reach[:, -1]
    picked = torch.searchsorted(reach, at[:, None], right=True).clamp(max=logits.shape[1] - 1)
    return (picked if order is None else order.gather(1, picked))[:, 0]
