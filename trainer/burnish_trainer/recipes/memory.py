"""Estimate the memory that a training run needs, from what one row leaves behind for its backward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPTIMIZER_COPIES = 3  # gradient and two moments of each trainable number
_LOGIT_GRADIENT = 4  # bytes of a logit's gradient, in single precision
_HEAP = 2.3
"""Memory of a process on processors for each byte in use: the C heap keeps freed blocks (measured 1.8 to 2.6)."""


def measure_activations(model: Any, input_ids: Sequence[int], labels: Sequence[int]) -> int:
    """Return the bytes that the forward pass of one row keeps for its backward pass.

    Each storage counts once, and weights do not count. The figure is exact and the same on every device, unlike the
    peak of a process or of an allocator.

    Args:
        model: The adapted model.
        input_ids: Tokens of the row (T).
        labels: Its labels (T).
    """
    import torch
    from torch.nn import functional

    from burnish_trainer.logits import logits_at

    device = next(model.parameters()).device
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    weights |= {b.untyped_storage().data_ptr() for b in model.buffers()}
    kept: dict[int, int] = {}

    def note(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.tensor([list(input_ids)], device=device)
    targets = torch.tensor(list(labels), device=device)[1:]
    chosen = targets >= 0  # a negative label carries no loss
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda one: one):
        logits = logits_at(model, ids, chosen[None]).float()
        loss = functional.cross_entropy(logits, targets[chosen])
    del loss
    return sum(kept.values())


def estimate_memory(
    model: Any, *, row: tuple[Sequence[int], Sequence[int]], batch_tokens: int, loss_tokens: int
) -> int:
    """Return the peak bytes of one step: of the device, or of the process on processors, within about a third.

    Args:
        model: The adapted model.
        row: Tokens and labels of a long row, which is computed once.
        batch_tokens: Tokens of the largest batch, padding included.
        loss_tokens: Positions of it whose logits are computed.
    """
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    activations = measure_activations(model, *row) * batch_tokens / len(row[0])
    gradients = loss_tokens * model.config.get_text_config().vocab_size * _LOGIT_GRADIENT
    changing = trained * _OPTIMIZER_COPIES + activations + gradients
    on_processors = next(model.parameters()).device.type == "cpu"
    return int(weights + changing * (_HEAP if on_processors else 1.0))
