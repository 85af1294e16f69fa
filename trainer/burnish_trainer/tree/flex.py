"""Attend over a trie with torch's FlexAttention: one fused kernel on a GPU that skips hidden blocks.

`attend_by_flex` is the entry. It is chosen on CUDA alone (`self_check.py`): on a processor torch has no backward pass for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from burnish_trainer.tree.tree_layout import TreeLayout


def attend_by_flex(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: TreeLayout,
    options: dict[str, Any],
) -> torch.Tensor:
    """Return the attention of all nodes over their ancestors (1, H, N, D).

    Args:
        query: Queries (1, H, N, D).
        key: Keys, of as many heads or of a divisor of them.
        value: Values, likewise.
        layout: The trie in blocks.
        options: Scaling, sliding window and soft cap of the layer.

    Raises:
        NotImplementedError: The model has attention sinks.
    """
    if options.get("s_aux") is not None:
        raise NotImplementedError("FlexAttention with attention sinks")
    cap, window = options.get("softcap"), options.get("sliding_window")
    mask = _block_mask(layout, layout.window_of(window), query.device)
    found: Any = _kernel(query.device.type)(
        query,
        key,
        value,
        score_mod=None if cap is None else _soft_cap(float(cap)),
        block_mask=mask,
        scale=options.get("scaling"),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return found


@functools.cache
def _kernel(device: str) -> Callable[..., Any]:
    """Return FlexAttention, compiled on a GPU."""
    return torch.compile(flex_attention, dynamic=True) if device == "cuda" else flex_attention


@functools.cache
def _soft_cap(cap: float) -> Callable[..., torch.Tensor]:
    def cap_score(score: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return torch.tanh(score / cap) * cap

    return cap_score


def _block_mask(layout: TreeLayout, window: int | None, device: torch.device) -> BlockMask:
    """Return the mask of a layer; layers with the same window share it."""
    known = layout.flex_masks
    if window not in known:
        trie = layout.trie
        ends, depths = (torch.from_numpy(x).to(device) for x in (trie.ends, trie.depths))

        def sees(_: Any, __: Any, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
            seen = (other <= one) & (one < ends[other])
            return seen if window is None else seen & (depths[one] - depths[other] < window)

        size = trie.distinct_tokens
        known[window] = create_block_mask(sees, None, None, size, size, device=str(device))
    return known[window]
