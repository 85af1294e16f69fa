"""Prompts that tell an adapter from its base.

Knows: how the prompts are chosen (where both differ most) and what is written down of their answers.
Does not know: how a served version is probed with them (burnish.serving.fingerprint).

A prompt may end inside a reply: adapters often begin like their base and part from it a few tokens later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from burnish.errors import TrainingError
from burnish_trainer.rows import IGNORE, TokenRow

_ROWS, _PLACES, _CHOSEN, _TOP = 48, 16, 8, 20
_TOO_NEAR = 1e-3  # nats


class _Found(NamedTuple):
    """What both say next after a prompt."""

    distance: float  # of the adapter's distribution from the base's, in nats
    prompt: list[int]
    adapter: torch.Tensor
    base: torch.Tensor


def fingerprint(model: Any, rows: Sequence[TokenRow]) -> dict[str, Any]:
    """What adapter and base say next after the prompts where they differ most, at most one a row.

    Args:
        model: The adapted model, as peft gives it.
        rows: Rows that it was trained on.

    Raises:
        TrainingError: The adapter cannot be told from its base, so nobody could prove later that it is served.
    """
    model.eval()
    chosen = rows[:: max(1, len(rows) // _ROWS)][:_ROWS]
    found = sorted(_differences(model, chosen), key=lambda one: -one.distance)[:_CHOSEN]
    if not found or found[0].distance < _TOO_NEAR:
        raise TrainingError(
            "the adapter cannot be told from its base model on any prompt of its dataset",
            f"next-token distributions at least {_TOO_NEAR} nats apart",
            "train longer, or with a higher learning rate",
        )
    entries = [
        {"token_ids": one.prompt, "adapter": _top(one.adapter), "base": _top(one.base)}
        for one in found
    ]
    return {"dtype": str(next(model.parameters()).dtype).removeprefix("torch."), "prompts": entries}


def _differences(model: Any, rows: Sequence[TokenRow]) -> Iterator[_Found]:
    """For each row, the place of its replies where adapter and base differ most."""
    for row in rows:
        learned = [i for i in range(1, len(row.labels)) if row.labels[i] != IGNORE]
        if not learned:
            continue
        places = learned[:: max(1, len(learned) // _PLACES)][:_PLACES]
        adapter = _next_logprobs(model, row.input_ids, places)
        with model.disable_adapter():
            base = _next_logprobs(model, row.input_ids, places)
        distances = (adapter.exp() * (adapter - base)).sum(-1)
        best = int(distances.argmax())
        prompt = list(row.input_ids[: places[best]])
        yield _Found(float(distances[best]), prompt, adapter[best], base[best])


@torch.no_grad()
def _next_logprobs(model: Any, ids: Sequence[int], places: Sequence[int]) -> torch.Tensor:
    """Log-probabilities (P, V) of the tokens at the places, given all that stands before each."""
    device = next(model.parameters()).device
    before = torch.tensor([place - 1 for place in places], device=device)
    given = torch.tensor([list(ids[: places[-1]])], device=device)
    logits = model(input_ids=given, use_cache=False, logits_to_keep=before).logits[0]
    return logits.float().log_softmax(-1)


def _top(logprobs: torch.Tensor) -> list[list[float]]:
    values, ids = logprobs.topk(min(_TOP, len(logprobs)))
    return [
        [int(i), round(float(v), 6)] for i, v in zip(ids.tolist(), values.tolist(), strict=True)
    ]
