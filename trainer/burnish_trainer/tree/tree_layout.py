"""Divide a trie into blocks of nodes that attend together, and make their masks.

A block is a run of nodes: a long segment alone, or a whole small subtree. Its nodes attend to the segments above the
block, all of them without a mask, and to their own ancestors inside the block. So the cost follows the paths, and
neither a square over all nodes nor one call for each short segment is paid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from burnish_trainer.tree.prefix_trie import PrefixTrie, Segments

_SMALL = 96
"""Nodes up to which a subtree is one block."""


@dataclass(frozen=True)
class AttentionBlock:
    """A run of segments whose nodes attend together.

    Attributes:
        first: Its first segment.
        last: One past its last segment.
        context: The segments above it, the root first.
    """

    first: int
    last: int
    context: tuple[int, ...]


@dataclass
class TreeLayout:
    """The blocks of a trie and their masks; the masks are made at their first use and kept.

    Attributes:
        trie: The trie.
        blocks: Its blocks in the order of the nodes.
        sizes: Nodes of each segment.
        longest: Tokens of the longest path.
        flex_masks: Masks of FlexAttention by sliding window, made at their first use.
    """

    trie: PrefixTrie
    blocks: list[AttentionBlock]
    sizes: list[int]
    longest: int
    flex_masks: dict[int | None, Any] = field(default_factory=dict)
    _masks: dict[tuple[int, int | None], torch.Tensor | None] = field(default_factory=dict)

    def window_of(self, window: int | None) -> int | None:
        """Return the window of a sliding layer; None where every path fits into it."""
        return None if window is None or self.longest <= window else window

    def context_in(self, block: AttentionBlock, window: int | None) -> tuple[int, ...]:
        """Return the context segments that the block's first node still sees through a sliding window."""
        segments, depths = self.trie.segments, self.trie.depths
        window = self.window_of(window)
        if window is None:
            return block.context
        nearest = int(depths[segments.starts[block.first]]) - window
        return tuple(s for s in block.context if depths[segments.ends[s] - 1] > nearest)

    def mask_of(self, place: int, window: int | None, device: torch.device) -> torch.Tensor | None:
        """Return the mask of a block (queries, context and own keys); None where plain causal attention is the same.

        Args:
            place: Index of the block.
            window: Tokens that a sliding layer attends to; None for full attention.
            device: Device of the mask.
        """
        window = self.window_of(window)
        key = (place, window)
        if key not in self._masks:
            self._masks[key] = self._make_mask(self.blocks[place], window, device)
        return self._masks[key]

    def _make_mask(
        self, block: AttentionBlock, window: int | None, device: torch.device
    ) -> torch.Tensor | None:
        context = self.context_in(block, window)
        if not context and window is None and block.last - block.first == 1:
            return None
        segments, trie = self.trie.segments, self.trie
        own = np.arange(segments.starts[block.first], segments.ends[block.last - 1])
        above = [np.arange(segments.starts[s], segments.ends[s]) for s in context]
        keys = np.concatenate([*above, own])
        mask = (keys[None] <= own[:, None]) & (own[:, None] < trie.ends[keys][None])
        if window is not None:
            mask &= trie.depths[own][:, None] - trie.depths[keys][None] < window
        return torch.from_numpy(mask).to(device)[None, None]


def make_layout(trie: PrefixTrie, small: int = _SMALL) -> TreeLayout:
    """Divide a trie into blocks.

    Args:
        trie: The trie.
        small: Nodes up to which a subtree, or several with the same parent, form one block.
    """
    segments = trie.segments
    ancestors = segments.list_ancestors()
    blocks: list[AttentionBlock] = []
    place = 0
    while place < len(segments):
        last = _end_of_block(trie, segments, place, small)
        blocks.append(AttentionBlock(place, last, tuple(ancestors[place])))
        place = last
    sizes = (segments.ends - segments.starts).tolist()
    longest = int(trie.depths.max(initial=-1)) + 1
    return TreeLayout(trie, blocks, sizes, longest)


def _end_of_block(trie: PrefixTrie, segments: Segments, first: int, small: int) -> int:
    """Return one past the last segment of the block that begins with a segment."""
    start, parent, last = segments.starts[first], segments.parents[first], first
    while last < len(segments) and segments.parents[last] == parent:
        end = trie.ends[segments.starts[last]]  # of the whole subtree
        if end - start > small:
            break
        last = int(np.searchsorted(segments.starts, end))
    return max(last, first + 1)


def dense_mask(trie: PrefixTrie, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return the additive mask of all nodes (1, 1, N, N): 0 for ancestors and itself, the lowest number elsewhere."""
    nodes = np.arange(trie.distinct_tokens)
    seen = (nodes[None] <= nodes[:, None]) & (nodes[:, None] < trie.ends[None])
    mask = torch.full(seen.shape, torch.finfo(dtype).min, dtype=dtype)
    return mask.masked_fill_(torch.from_numpy(seen), 0).to(device)[None, None]
