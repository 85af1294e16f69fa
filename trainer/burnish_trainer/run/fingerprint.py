"""Prompts that tell an adapter from its base.

Knows: how the prompts are chosen (where both differ most) and what is written down of their answers.
Does not know: how a served version is probed with them (burnish.serving.fingerprint).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from burnish.errors import TrainingError
from burnish_trainer.rows import IGNORE, TokenRow

_CANDIDATES, _CHOSEN, _TOP = 48, 8, 20
_TOO_NEAR = 1e-3  # nats


def prompts_of(rows: Sequence[TokenRow]) -> list[list[int]]:
    """Contexts before something learned, at most one a row, spread over the rows."""
    prompts: list[list[int]] = []
    for row in rows[:: max(1, len(rows) // _CANDIDATES)]:
        starts = [
            i
            for i in range(1, len(row.labels))
            if row.labels[i] != IGNORE and row.labels[i - 1] == IGNORE
        ]
        if starts:
            prompts.append(row.input_ids[: starts[-1]])
    return prompts[:_CANDIDATES]


@torch.no_grad()
def fingerprint(model: Any, prompts: Sequence[list[int]]) -> dict[str, Any]:
    """What adapter and base say next on the prompts where they differ most.

    Args:
        model: The adapted model, as peft gives it.
        prompts: Candidates, as token ids.

    Raises:
        TrainingError: The adapter cannot be told from its base, so nobody could prove later that it is served.
    """
    model.eval()
    adapter = [_next_logprobs(model, prompt) for prompt in prompts]
    with model.disable_adapter():
        base = [_next_logprobs(model, prompt) for prompt in prompts]
    distance = [float((a.exp() * (a - b)).sum()) for a, b in zip(adapter, base, strict=True)]
    order = sorted(range(len(prompts)), key=lambda i: -distance[i])[:_CHOSEN]
    if not order or distance[order[0]] < _TOO_NEAR:
        raise TrainingError(
            "the adapter cannot be told from its base model on any prompt of its dataset",
            f"next-token distributions at least {_TOO_NEAR} nats apart",
            "train longer, or with a higher learning rate",
        )
    entries = [
        {"token_ids": list(prompts[i]), "adapter": _top(adapter[i]), "base": _top(base[i])}
        for i in order
    ]
    return {"dtype": str(next(model.parameters()).dtype).removeprefix("torch."), "prompts": entries}


def _next_logprobs(model: Any, prompt: list[int]) -> torch.Tensor:
    logits = model(input_ids=torch.tensor([prompt]), use_cache=False).logits[0, -1]
    return logits.float().log_softmax(-1)


def _top(logprobs: torch.Tensor) -> list[list[float]]:
    values, ids = logprobs.topk(min(_TOP, len(logprobs)))
    return [
        [int(i), round(float(v), 6)] for i, v in zip(ids.tolist(), values.tolist(), strict=True)
    ]
