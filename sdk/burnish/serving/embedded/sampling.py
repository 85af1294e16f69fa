"""Choose the next token of each row in a batch, with settings per row.

Temperature, top-k, top-p, min-p, penalties and biases follow vLLM's definitions. The random numbers of
a row come from its own seed and prompt, so other rows never change them. Log-probabilities are the
model's own, before all settings. Axes: `B` rows, `V` vocabulary.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import random
from collections.abc import Sequence

import torch

from burnish.errors import ServingError

_LEAST = 1e-5  # lower temperatures take the likeliest token
_RANGES = (
    ("top_k", 0, 1 << 31),
    ("min_p", 0.0, 1.0),
    ("presence_penalty", -2.0, 2.0),
    ("frequency_penalty", -2.0, 2.0),
    ("repetition_penalty", 0.01, 100.0),
)
History = tuple[Sequence[int], Sequence[int]]
"""The tokens of a row's prompt and of its answer so far."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """Sampling settings of a request."""

    temperature: float = 0.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    """Share of probability, likeliest first, to draw from; over 0, up to 1."""
    seed: int | None = None
    """The same seed and prompt draw the same numbers; None draws new ones each time."""
    top_k: int = 0
    """Number of likeliest tokens to draw from; 0 means all."""
    min_p: float = 0.0
    """Tokens less likely than this share of the likeliest one's probability are not drawn."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of each token in the answer so far."""
    frequency_penalty: float = 0.0
    """Subtracted from the logit of a token for each time it is in the answer so far."""
    repetition_penalty: float = 1.0
    """Divides positive and multiplies negative logits of tokens of the prompt and the answer."""
    logit_bias: tuple[tuple[int, float], ...] = ()
    """Added to the logits of tokens."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ServingError(
                f"temperature is {self.temperature}", "a number of at least 0", "temperature=0.0"
            )
        if not 0 < self.top_p <= 1:
            raise ServingError(f"top_p is {self.top_p}", "a share over 0, up to 1", "top_p=1.0")
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ServingError(
                    f"{name} is {value}", f"a number from {low} to {high}", f"leave {name} out"
                )

    @property
    def changes_logits(self) -> bool:
        """True if the settings change logits before a token is chosen."""
        penalties = (self.presence_penalty, self.frequency_penalty, self.repetition_penalty - 1)
        return any(penalties) or bool(self.logit_bias)

    @property
    def restricts_draw(self) -> bool:
        """True if the settings exclude tokens from the draw."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0

    def make_stream(self, prompt: Sequence[int]) -> random.Random | None:
        """Make the random numbers of one request; None for greedy choice."""
        if self.temperature < _LEAST:
            return None
        if self.seed is None:
            return random.Random()  # noqa: S311 - sampling, no secret
        key = f"{self.seed}:{','.join(map(str, prompt))}".encode()
        return random.Random(hashlib.blake2b(key, digest_size=16).digest())  # noqa: S311


GREEDY = Sampling()


@dataclasses.dataclass(frozen=True)
class ChosenTokens:
    """The chosen tokens of a batch; a non-finite log-probability means broken logits."""

    tokens: list[int]
    logprobs: list[float]


def choose_tokens(
    logits: torch.Tensor,
    settings: Sequence[Sampling],
    streams: Sequence[random.Random | None],
    histories: Sequence[History] | None = None,
) -> ChosenTokens:
    """Choose one token per row of `B x V` logits.

    Args:
        logits: Logits of the model.
        settings: Settings of each row.
        streams: Random numbers of each row; None for greedy choice.
        histories: Prompt and answer of each row, for penalties; empty by default.
    """
    own = logits
    if any(setting.changes_logits for setting in settings):
        logits = logits.clone()
        for row, setting in enumerate(settings):
            if setting.changes_logits:
                _adjust_logits(logits[row], setting, histories[row] if histories else ((), ()))
    tokens = logits.argmax(-1)
    drawn = [row for row, stream in enumerate(streams) if stream is not None]
    if drawn:
        at = torch.tensor(drawn, device=logits.device)
        numbers = [stream.random() for stream in streams if stream is not None]
        tokens[at] = _draw_tokens(logits[at], [settings[row] for row in drawn], numbers)
    chosen = own.gather(1, tokens[:, None])[:, 0]
    logprobs = chosen - own.logsumexp(-1)
    return ChosenTokens(tokens.tolist(), logprobs.tolist())


def rank_tokens(logits: torch.Tensor, count: int) -> list[tuple[int, float]]:
    """Return the likeliest tokens of one row, with the model's own log-probabilities."""
    best = logits.log_softmax(-1).topk(min(count, logits.shape[-1]))
    return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))


def _adjust_logits(row: torch.Tensor, setting: Sampling, history: History) -> None:
    """Apply biases, then penalties, to the logits of one row in place; the order is vLLM's."""
    prompt, answer = history
    for token, bias in setting.logit_bias:
        if token < row.shape[0]:
            row[token] += bias
    seen = torch.tensor(sorted({*prompt, *answer}), dtype=torch.long, device=row.device)
    if setting.repetition_penalty != 1 and len(seen):
        values, penalty = row[seen], setting.repetition_penalty
        row[seen] = torch.where(values > 0, values / penalty, values * penalty)
    if answer and (setting.frequency_penalty or setting.presence_penalty):
        given = torch.tensor(answer, dtype=torch.long, device=row.device)
        counts = torch.bincount(given, minlength=row.shape[0]).to(row.dtype)
        row -= setting.frequency_penalty * counts
        row -= setting.presence_penalty * (counts > 0)


def _draw_tokens(
    logits: torch.Tensor, settings: Sequence[Sampling], numbers: Sequence[float]
) -> torch.Tensor:
    """Draw one token per row from its own number in [0, 1), by inversion."""
    temperatures = torch.tensor([s.temperature for s in settings], device=logits.device)
    shares = (logits / temperatures[:, None]).softmax(-1)
    order = None
    if any(s.restricts_draw for s in settings):
        shares, order = shares.sort(dim=-1, descending=True, stable=True)
        shares = _mask_shares(shares, settings)
    reach = shares.double().cumsum(-1)
    at = torch.tensor(numbers, device=logits.device, dtype=torch.float64) * reach[:, -1]
    picked = torch.searchsorted(reach, at[:, None], right=True).clamp(max=logits.shape[1] - 1)
    return (picked if order is None else order.gather(1, picked))[:, 0]


def _mask_shares(shares: torch.Tensor, settings: Sequence[Sampling]) -> torch.Tensor:
    """Mask sorted shares by min-p, then top-k, then top-p of the rest."""
    device = shares.device
    least = torch.tensor([s.min_p for s in settings], device=device)[:, None] * shares[:, :1]
    most = torch.tensor([s.top_k or shares.shape[1] for s in settings], device=device)
    places = torch.arange(shares.shape[1], device=device)[None, :]
    shares = shares.masked_fill((shares < least) | (places >= most[:, None]), 0.0)
    top = torch.tensor([s.top_p for s in settings], device=device)[:, None]
    before = shares.cumsum(-1) - shares
    cut = (before >= top * shares.sum(-1, keepdim=True)) & (top < 1)
    return shares.masked_fill(cut, 0.0)
