"""Compute log-probabilities and gradients of a trie depth first, with kept keys and values.

Each segment is one forward pass whose context is the kept keys and values of its ancestors. Its backward pass runs
when all segments below it are done: their gradients on the kept keys and values have accumulated there. So each token is
computed forward and backward once, and only the activations of one path are in memory.

`backward_depth_first` is the entry for gradients, `logprobs_depth_first` for numbers alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import DynamicCache

from burnish_trainer.logits import logits_at
from burnish_trainer.tree.prefix_trie import PrefixTrie
from burnish_trainer.tree.tree_attention import Bools, base_of, gather_logprobs

_Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass
class _Visit:
    """A segment whose descendants are being computed.

    Attributes:
        end: One past the last node of its subtree.
        kept: Keys and values of each layer, as leaves that collect the gradients of the segments below.
        made: The same keys and values in the segment's own graph.
        loss: Its part of the surrogate loss; None without wanted nodes.
    """

    end: int
    kept: list[_Pair]
    made: list[_Pair]
    loss: torch.Tensor | None


def logprobs_depth_first(model: Any, trie: PrefixTrie, wanted: Bools) -> torch.Tensor:
    """Compute the log-probabilities of the wanted nodes in the order of the nodes, without gradients."""
    with torch.no_grad():
        return _walk(model, trie, wanted, None, None)


def backward_depth_first(
    model: Any,
    trie: PrefixTrie,
    wanted: Bools,
    coefficients: torch.Tensor,
    backward: Callable[[torch.Tensor], Any] | None = None,
) -> torch.Tensor:
    """Add the gradients of `sum(coefficients * logprobs)` to the model's parameters.

    Args:
        model: A causal language model without gradient checkpointing, which cannot keep keys and values.
        trie: The trie.
        wanted: Nodes with a coefficient.
        coefficients: One number for each wanted node, in the order of the nodes.
        backward: Called in place of `loss.backward()`, as a scaler of half-precision losses needs.

    Returns:
        The log-probabilities of the wanted nodes.
    """
    return _walk(model, trie, wanted, coefficients, backward or torch.Tensor.backward)


def _walk(
    model: Any,
    trie: PrefixTrie,
    wanted: Bools,
    coefficients: torch.Tensor | None,
    backward: Callable[[torch.Tensor], Any] | None,
) -> torch.Tensor:
    """Visit the segments in the order of the nodes; leave each when its subtree ends."""
    device = next(model.parameters()).device
    nodes = np.flatnonzero(wanted)
    place_of = np.full(trie.distinct_tokens, -1)
    place_of[nodes] = np.arange(len(nodes))
    found: list[torch.Tensor] = []
    places: list[npt.NDArray[np.int64]] = []
    path: list[_Visit] = []
    segments, ids_below = trie.segments, _predicted_by_segment(trie, nodes)
    for segment in range(len(segments)):
        start, end = int(segments.starts[segment]), int(segments.ends[segment])
        while path and path[-1].end <= start:
            _leave(path.pop(), backward)
        predicted = ids_below[segment]
        kept, made, logprobs = _enter(model, trie, (start, end), path, predicted, device)
        loss = None
        if len(predicted):
            found.append(logprobs.detach())
            places.append(place_of[predicted])
            if coefficients is not None:
                loss = (logprobs * coefficients[torch.from_numpy(place_of[predicted])]).sum()
        path.append(_Visit(int(trie.ends[start]), kept, made, loss))
    while path:
        _leave(path.pop(), backward)
    order = np.argsort(np.concatenate([np.empty(0, np.int64), *places]))
    return torch.cat([torch.empty(0, device=device), *found])[torch.from_numpy(order)]


def _predicted_by_segment(trie: PrefixTrie, nodes: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return for each segment the wanted nodes whose parent lies in it."""
    of_parent = np.searchsorted(trie.segments.starts, trie.parents[nodes], side="right") - 1
    order = np.argsort(of_parent, kind="stable")
    cuts = np.searchsorted(of_parent[order], np.arange(1, len(trie.segments)))
    return np.split(nodes[order], cuts)


def _enter(
    model: Any,
    trie: PrefixTrie,
    span: tuple[int, int],
    path: list[_Visit],
    predicted: npt.NDArray[Any],
    device: torch.device,
) -> tuple[list[_Pair], list[_Pair], torch.Tensor]:
    """Run one segment behind its ancestors; return kept and made keys and values, and log-probabilities."""
    start, end = span
    cache = DynamicCache()
    for layer in range(len(path[0].kept) if path else 0):
        keys, values = (torch.cat([v.kept[layer][i] for v in path], dim=2) for i in (0, 1))
        cache.update(keys, values, layer)
    ids = torch.from_numpy(trie.tokens[start:end])[None].to(device)
    before, place = np.unique(trie.parents[predicted] - start, return_inverse=True)
    chosen = torch.zeros(ids.shape, dtype=torch.bool, device=device)
    chosen[0, torch.from_numpy(before)] = True
    positions = torch.from_numpy(trie.depths[start:end])[None].to(device)
    logits = logits_at(
        model, ids, chosen, position_ids=positions, past_key_values=cache, use_cache=True
    )
    length = end - start
    layers: list[Any] = list(cache.layers)
    made = [(x.keys[:, :, -length:], x.values[:, :, -length:]) for x in layers]
    kept = [(_leaf(keys), _leaf(values)) for keys, values in made]
    return kept, made, gather_logprobs(logits, place, trie.tokens[predicted])


def _leaf(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().requires_grad_(torch.is_grad_enabled())


def _leave(visit: _Visit, backward: Callable[[torch.Tensor], Any] | None) -> None:
    """Run the backward pass of a segment: of its own loss, and of what the segments below need."""
    if backward is None:
        return
    pairs = [
        p for both in zip(visit.made, visit.kept, strict=True) for p in zip(*both, strict=True)
    ]
    parts = [(made * kept.grad).sum() for made, kept in pairs if kept.grad is not None]
    if visit.loss is not None:
        parts.append(visit.loss)
    if parts:
        backward(torch.stack(parts).sum())


def can_keep_context(model: Any) -> bool:
    """Return whether a model can be run depth first now: it keeps keys and values, with no gradient checkpointing."""
    return not any(getattr(m, "gradient_checkpointing", False) for m in base_of(model).modules())
