"""Compute log-probabilities of a trie's tokens in one forward pass: tree attention.

Positions are depths, and a node attends to its own ancestors. Three forms give the same numbers:

- blocks: an attention function that transformers' `AttentionInterface` knows as "burnish_tree". It attends block by
  block (`tree_layout.py`) with torch's scaled-dot-product attention, so the cost follows the paths.
- flex: the same layout in torch's FlexAttention (`flex.py`), on a GPU.
- mask: one additive mask over all nodes, for models whose attention is their own (a soft cap, attention sinks).

`attention_logprobs` is the entry; the model's own head gives the logits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from burnish_trainer.logits import logits_at
from burnish_trainer.tree.flex import attend_by_flex
from burnish_trainer.tree.prefix_trie import PrefixTrie
from burnish_trainer.tree.tree_layout import TreeLayout, dense_mask, make_layout

NAME = "burnish_tree"
AttentionForm = Literal["blocks", "flex", "mask", "rows"]
Bools = npt.NDArray[np.bool_]


class TreeMask(torch.Tensor):
    """An empty 4-D tensor in the place of a mask: models pass it on unread, and it brings the layout of the trie."""

    tree: TreeLayout
    flex: bool


def make_tree_mask(trie: PrefixTrie, device: torch.device, *, flex: bool = False) -> TreeMask:
    """Return the mask argument for a model whose attention is "burnish_tree"."""
    mask = torch.empty((1, 1, 0, 0), device=device).as_subclass(TreeMask)
    mask.tree, mask.flex = make_layout(trie), flex
    return mask


def attend_by_blocks(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend over a trie; without a `TreeMask`, as transformers' own function.

    Raises:
        NotImplementedError: The model's attention adds a bias by position.
    """
    if not isinstance(attention_mask, TreeMask):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    if options.get("position_bias") is not None:
        raise NotImplementedError("attention with a bias by position")
    if attention_mask.flex:
        found = attend_by_flex(query, key, value, attention_mask.tree, options)
        return found.transpose(1, 2).contiguous(), None
    return _attend_all_blocks(module, (query, key, value), attention_mask.tree, options), None


def _attend_all_blocks(
    module: torch.nn.Module,
    parts: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    layout: TreeLayout,
    options: dict[str, Any],
) -> torch.Tensor:
    query, key, value = parts
    groups = getattr(module, "num_key_value_groups", 1)
    if groups > 1:
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    window = options.get("sliding_window")
    queries, keys, values = (x.split(layout.sizes, dim=2) for x in (query, key, value))
    found: list[torch.Tensor] = []
    for place, block in enumerate(layout.blocks):
        own = range(block.first, block.last)
        seen = [*layout.context_in(block, window), *own]
        mask = layout.mask_of(place, window, query.device)
        part = (
            _joined([queries[s] for s in own]),
            _joined([keys[s] for s in seen]),
            _joined([values[s] for s in seen]),
        )
        found.append(_attend_block(*part, mask, options))
    return _joined(found).transpose(1, 2).contiguous()


def _attend_block(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    options: dict[str, Any],
) -> torch.Tensor:
    """Attend in one block, with the soft cap of Gemma 2 and the sinks of gpt-oss where the model has them."""
    cap, sinks, scale = (options.get(name) for name in ("softcap", "s_aux", "scaling"))
    if cap is None and sinks is None:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None, scale=scale
        )
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if cap is not None:
        scores = torch.tanh(scores / cap) * cap
    if mask is None:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    scores = scores.masked_fill(~mask, -torch.inf)
    if sinks is not None:
        column = sinks.reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, column.to(scores.dtype)], dim=-1)
    return (
        scores.softmax(-1, dtype=_at_least_float(scores))[..., : key.shape[2]].to(value.dtype)
        @ value
    )


def _at_least_float(tensor: torch.Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


AttentionInterface.register(NAME, attend_by_blocks)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextlib.contextmanager
def tree_attention(model: Any) -> Generator[None]:
    """Set the attention of a model to "burnish_tree" inside the block; other forwards are not affected."""
    inner = base_of(model)
    before = inner.config._attn_implementation  # noqa: SLF001 - transformers has no public reader
    inner.set_attn_implementation(NAME)
    try:
        yield
    finally:
        inner.set_attn_implementation(before)


def base_of(model: Any) -> Any:
    """Return the transformers model inside wrappers of accelerate and PEFT."""
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def attention_logprobs(
    model: Any, trie: PrefixTrie, wanted: Bools, form: AttentionForm
) -> torch.Tensor:
    """Compute the log-probabilities of nodes given their ancestors.

    Args:
        model: A causal language model, with or without an adapter.
        trie: The trie.
        wanted: Nodes (N); a root has no context and cannot be wanted.
        form: How the model attends; "blocks" and "flex" need the model inside `tree_attention`, "rows" a trie of one row.

    Returns:
        Log-probabilities (K) of the wanted nodes in the order of the nodes, in at least single precision.
    """
    device = next(model.parameters()).device
    ids = torch.from_numpy(trie.tokens)[None].to(device)
    inputs: dict[str, Any] = {"position_ids": torch.from_numpy(trie.depths)[None].to(device)}
    if form in ("blocks", "flex"):
        inputs["attention_mask"] = make_tree_mask(trie, device, flex=form == "flex")
    elif form == "mask":
        inputs["attention_mask"] = dense_mask(trie, next(model.parameters()).dtype, device)
    nodes = np.flatnonzero(wanted)
    before, place = np.unique(trie.parents[nodes], return_inverse=True)
    chosen = torch.zeros((1, trie.distinct_tokens - 1), dtype=torch.bool, device=device)
    chosen[0, torch.from_numpy(before)] = True
    logits = logits_at(model, ids, chosen, **inputs)
    return gather_logprobs(logits, place, trie.tokens[nodes])


def gather_logprobs(
    logits: torch.Tensor, place: npt.NDArray[Any], tokens: npt.NDArray[Any]
) -> torch.Tensor:
    """Return log p of tokens, each after one of the contexts whose logits (M, V) are given.

    Args:
        logits: Next-token logits of M contexts.
        place: For each token, the index of its context.
        tokens: The tokens (K).
    """
    logits = logits.to(_at_least_float(logits))
    rows = torch.from_numpy(place).to(logits.device)
    ids = torch.from_numpy(tokens).to(logits.device)
    return logits[rows, ids] - logits.logsumexp(-1)[rows]
