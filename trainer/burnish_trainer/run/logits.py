"""Logits of chosen positions, computed by the model's own forward.

The output layer of a language model is seldom all that lies between hidden state and logits: Granite and Cohere scale
them, Gemma 2 caps them, Falcon-H1 multiplies them. `logits_at` keeps the model's own forward and only narrows what the
output layer is given to the positions that carry loss, so whatever stands before or behind it still happens.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


def logits_at(model: Any, ids: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Compute logits where a next token is learned.

    Args:
        model: A causal language model, with or without an adapter.
        ids: Tokens (B, T), padded on the right.
        chosen: Positions (B, T-1) whose next token is learned.

    Returns:
        Logits (N, V) of the N chosen positions, in row order.
    """
    narrowed: list[bool] = []

    def narrow(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        hidden = given[0]
        if hidden.shape[:2] != ids.shape:
            return None
        narrowed.append(True)
        return (hidden[:, :-1][chosen][None], *given[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(narrow)
    try:
        logits = model(input_ids=ids, use_cache=False).logits
    finally:
        handle.remove()
    return logits[0] if narrowed else logits[:, :-1][chosen]


def first_not_finite(tensors: Iterable[tuple[str, torch.Tensor]]) -> str | None:
    """Find the first tensor that holds NaN or infinity; returns its name."""
    named = list(tensors)
    if not named:
        return None
    # One number decides first, so that a device is waited for once and not once a tensor.
    if torch.isfinite(torch.stack([tensor.detach().sum() for _, tensor in named]).sum()):
        return None
    return next((name for name, tensor in named if not torch.isfinite(tensor).all()), None)
