"""Compute logits of chosen positions with the model's own forward.

Models often change the logits after the output layer: Granite and Cohere scale them, Gemma 2 caps
them, Falcon-H1 multiplies them. `logits_at` keeps the model's own forward and narrows the input of
the output layer to the positions that carry loss, so that all other operations still happen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


def logits_at(model: Any, ids: torch.Tensor, chosen: torch.Tensor, **inputs: Any) -> torch.Tensor:
    """Compute logits where a next token is learned.

    Args:
        model: A causal language model, with or without an adapter.
        ids: Tokens (B, T), padded on the right.
        chosen: Positions (B, T-1) whose next token is learned, or (B, T) where the last one counts too.
        inputs: Further inputs of the model, as positions and a mask.

    Returns:
        Logits (N, V) of the N chosen positions, in row order.
    """
    narrowed: list[bool] = []

    def narrow_input(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        hidden = given[0]
        if hidden.shape[:2] != ids.shape:
            return None
        narrowed.append(True)
        return (hidden[:, : chosen.shape[1]][chosen][None], *given[1:])

    head = getattr(model, "module", model).get_output_embeddings()  # inside a distributed wrapper
    handle = head.register_forward_pre_hook(narrow_input)
    try:
        logits = model(input_ids=ids, **{"use_cache": False, **inputs}).logits
    finally:
        handle.remove()
    return logits[0] if narrowed else logits[:, : chosen.shape[1]][chosen]


def first_not_finite(tensors: Iterable[tuple[str, torch.Tensor]]) -> str | None:
    """Return the name of the first tensor that holds NaN or infinity."""
    named = list(tensors)
    if not named:
        return None
    # One number decides first, so that the device is synchronised once and not once a tensor.
    if torch.isfinite(torch.stack([tensor.detach().sum() for _, tensor in named]).sum()):
        return None
    return next((name for name, tensor in named if not torch.isfinite(tensor).all()), None)
