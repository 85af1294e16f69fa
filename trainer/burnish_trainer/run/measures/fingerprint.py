"""Choose prompts that distinguish an adapter from its base, and record the answers of both.

burnish.serving.fingerprint probes a served version with these prompts. A prompt may end inside a
reply: adapters often begin like their base and differ from it a few tokens later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from burnish.errors import TrainingError
from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.rows.token_rows import TokenRow

_ROWS, _PLACES, _CHOSEN, _TOP = 48, 16, 8, 20
_TOO_NEAR = 1e-3  # nats


class _Difference(NamedTuple):
    """Next-token distributions of adapter and base after a prompt."""

    distance: float  # of the adapter's distribution from the base's, in nats
    prompt: list[int]
    adapter: torch.Tensor
    base: torch.Tensor


def make_fingerprint(model: Any, rows: Sequence[TokenRow]) -> dict[str, Any]:
    """Return the next tokens of adapter and base after the prompts where they differ most, at most one a row.

    Args:
        model: The adapted model, as peft returns it.
        rows: Rows that it was trained on.

    Raises:
        TrainingError: The adapter cannot be distinguished from its base, so a server could not prove that it serves
            it.
    """
    model.eval()
    chosen = rows[:: max(1, len(rows) // _ROWS)][:_ROWS]
    found = sorted(_find_differences(model, chosen), key=lambda one: -one.distance)[:_CHOSEN]
    if not found or found[0].distance < _TOO_NEAR:
        raise TrainingError(
            "the adapter cannot be distinguished from its base model on any prompt of its dataset",
            f"next-token distributions at least {_TOO_NEAR} nats apart",
            "train longer, or with a higher learning rate",
        )
    entries = [
        {
            "token_ids": one.prompt,
            "adapter": _top_tokens(one.adapter),
            "base": _top_tokens(one.base),
        }
        for one in found
    ]
    return {"dtype": str(next(model.parameters()).dtype).removeprefix("torch."), "prompts": entries}


def _find_differences(model: Any, rows: Sequence[TokenRow]) -> Iterator[_Difference]:
    """Yield for each row the place in its replies where adapter and base differ most."""
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
        yield _Difference(float(distances[best]), prompt, adapter[best], base[best])


@torch.no_grad()
def _next_logprobs(model: Any, ids: Sequence[int], places: Sequence[int]) -> torch.Tensor:
    """Return log-probabilities (P, V) of the tokens at the places, given all tokens before each."""
    device = next(model.parameters()).device
    before = torch.tensor([place - 1 for place in places], device=device)
    given = torch.tensor([list(ids[: places[-1]])], device=device)
    logits = model(input_ids=given, use_cache=False, logits_to_keep=before).logits[0]
    return logits.float().log_softmax(-1)


def _top_tokens(logprobs: torch.Tensor) -> list[list[float]]:
    values, ids = logprobs.topk(min(_TOP, len(logprobs)))
    return [
        [int(i), round(float(v), 6)] for i, v in zip(ids.tolist(), values.tolist(), strict=True)
    ]
