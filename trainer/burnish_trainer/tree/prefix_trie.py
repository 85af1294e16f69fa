"""Build the prefix trie of token rows.

`build_trie` is the entry. Nodes are numbered in depth-first order, so an ancestor always has a smaller number than its
descendants, and the descendants of a node are one contiguous range. Everything else (masks, segments, sums of weights)
follows from that order by array operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PrefixTrie:
    """The distinct (context, token) pairs of some rows.

    Attributes:
        tokens: The token of each node.
        parents: The parent of each node; -1 for a first token.
        depths: The number of ancestors of each node, which is its position.
        ends: One past the last descendant of each node.
        paths: For each row, in the given order, the nodes of its tokens.
    """

    tokens: Ints
    parents: Ints
    depths: Ints
    ends: Ints
    paths: list[Ints]

    @property
    def distinct_tokens(self) -> int:
        """Return the number of nodes."""
        return len(self.tokens)

    @property
    def flat_tokens(self) -> int:
        """Return the number of tokens over all rows."""
        return sum(len(path) for path in self.paths)

    @cached_property
    def segments(self) -> Segments:
        """Return the longest runs of nodes without a branch."""
        return _find_segments(self)

    def sum_weights(self, weights: Sequence[npt.ArrayLike]) -> Floats:
        """Return the weight of each node: the sum over the rows that pass through it.

        Args:
            weights: For each row, one weight per token; one call per stream of weights.
        """
        nodes = np.concatenate([np.empty(0, np.int64), *self.paths])
        flat = np.concatenate([np.empty(0), *(np.asarray(w, np.float64) for w in weights)])
        return np.bincount(nodes, weights=flat, minlength=self.distinct_tokens).astype(np.float64)


@dataclass(frozen=True)
class Segments:
    """Runs of nodes in which each node is the only child of the one before.

    Attributes:
        starts: The first node of each segment.
        ends: One past its last node.
        parents: The segment that it continues; -1 at a root. A segment always hangs at the last node of its parent.
    """

    starts: Ints
    ends: Ints
    parents: Ints

    def __len__(self) -> int:
        return len(self.starts)

    def list_ancestors(self) -> list[list[int]]:
        """Return for each segment the segments above it, the root first."""
        found: list[list[int]] = []
        for parent in self.parents.tolist():
            found.append([] if parent < 0 else [*found[parent], parent])
        return found


def build_trie(rows: Sequence[Sequence[int] | Ints]) -> PrefixTrie:
    """Build the trie of rows of token ids.

    The result depends on the rows alone: equal rows share all nodes, and children are ordered by token.
    """
    arrays = [np.asarray(row, dtype=np.int64) for row in rows]
    order = sort_rows(arrays)
    paths: list[Ints] = [np.empty(0, np.int64)] * len(arrays)
    tokens: list[Ints] = []
    parents: list[Ints] = []
    ends = np.empty(sum(len(array) for array in arrays), np.int64)
    count, last, path = 0, np.empty(0, np.int64), np.empty(0, np.int64)
    for place in order:
        array = arrays[place]
        shared = shared_length(last, array)
        fresh = np.arange(count, count + len(array) - shared)
        ends[path[shared:]] = count
        parents.append(
            np.concatenate([path[shared - 1 : shared] if shared else [-1], fresh[:-1]])[
                : len(fresh)
            ]
        )
        tokens.append(array[shared:])
        path = np.concatenate([path[:shared], fresh])
        paths[place], last, count = path, array, count + len(fresh)
    ends[path] = count
    depths = np.empty(count, np.int64)
    for nodes in paths:
        depths[nodes] = np.arange(len(nodes))
    joined = [np.empty(0, np.int64)]
    return PrefixTrie(
        np.concatenate(joined + tokens),
        np.concatenate(joined + parents).astype(np.int64),
        depths,
        ends[:count].copy(),
        paths,
    )


def sort_rows(rows: Sequence[Ints]) -> list[int]:
    """Return the indices of rows in lexicographic order; equal rows keep their order."""
    keys = [row.astype(">i8").tobytes() for row in rows]
    return sorted(range(len(rows)), key=keys.__getitem__)


def shared_length(one: Ints, other: Ints) -> int:
    """Return the number of tokens that two rows have in common at their beginning."""
    size = min(len(one), len(other))
    different = np.flatnonzero(one[:size] != other[:size])
    return int(different[0]) if len(different) else size


def _find_segments(trie: PrefixTrie) -> Segments:
    count = trie.distinct_tokens
    children = np.bincount(trie.parents[trie.parents >= 0], minlength=count)
    before = np.arange(count) - 1
    continues = (trie.parents == before) & (before >= 0)
    continues &= np.where(before >= 0, children[before] == 1, False)
    starts = np.flatnonzero(~continues)
    segment_of = np.cumsum(~continues) - 1
    above = trie.parents[starts]
    parents = np.where(above >= 0, segment_of[above], -1)
    return Segments(starts, np.append(starts[1:], count), parents)
