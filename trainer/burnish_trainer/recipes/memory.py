"""Estimate the memory that a training run needs."""

from __future__ import annotations

from typing import Any

_OPTIMIZER_COPIES = 4  # weight, gradient and two moments of each trainable number
_ACTIVATIONS_PER_LAYER = 16  # kept floats per token and hidden unit, for a gated decoder layer


def estimate_memory(model: Any, *, batch_tokens: int, loss_tokens: int) -> int:
    """Return the peak bytes of one step, within a factor of about two.

    Args:
        model: The adapted model.
        batch_tokens: Tokens of the largest batch, padding included.
        loss_tokens: Positions of it whose logits are computed.
    """
    size = next(iter(model.parameters())).element_size()
    weights = sum(p.numel() for p in model.parameters()) * size
    state = sum(p.numel() for p in model.parameters() if p.requires_grad) * size * _OPTIMIZER_COPIES
    config = model.config.get_text_config()
    layers, hidden = config.num_hidden_layers, config.hidden_size
    activations = batch_tokens * layers * hidden * _ACTIVATIONS_PER_LAYER * size
    logits = loss_tokens * config.vocab_size * 4 * 3
    return int(weights + state + activations + logits)
