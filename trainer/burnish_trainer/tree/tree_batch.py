"""Run a loss over the log-probabilities of several rows, on tries under a token budget.

`TreeBatch` holds the rows of one step and the tokens of them that count. `compute_logprobs` gives their
log-probabilities with gradients if one piece holds all rows; `backward_in_pieces` adds the same gradients piece by
piece: first the numbers of all pieces, then the loss's gradient on each log-probability, then the pieces again with those
as coefficients. A loss that is linear in log-probabilities needs the second pass alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from burnish_trainer.tree.depth_first import backward_depth_first, logprobs_depth_first
from burnish_trainer.tree.planner import pack_rows, share_rows
from burnish_trainer.tree.prefix_trie import Ints, PrefixTrie, build_trie
from burnish_trainer.tree.tree_attention import AttentionForm, Bools, attention_logprobs

Loss = Callable[[torch.Tensor], torch.Tensor]
Backward = Callable[[torch.Tensor], Any]


@dataclass(frozen=True)
class TreePiece:
    """Rows that share one trie.

    Attributes:
        trie: The trie.
        wanted: Nodes whose log-probability counts.
        tokens: For each counted token of the rows, its place among all counted tokens of the batch.
        places: For each counted token of the rows, its place among the wanted nodes.
    """

    trie: PrefixTrie
    wanted: Bools
    tokens: Ints
    places: Ints


@dataclass(frozen=True)
class TreeBatch:
    """The rows of one step.

    Attributes:
        pieces: The rows in pieces under the token budget.
        count: Counted tokens over all rows; they are in the order of rows, then of tokens.
        flat_tokens: Tokens of all rows.
    """

    pieces: list[TreePiece]
    count: int
    flat_tokens: int

    @property
    def distinct_tokens(self) -> int:
        """Return the tokens that are computed."""
        return sum(piece.trie.distinct_tokens for piece in self.pieces)


@dataclass(frozen=True)
class BatchShare:
    """The part of a step that one process computes.

    Attributes:
        rank: The number of the process.
        count: The number of all processes.
        even: Every process runs the model equally often; one with fewer pieces repeats one without effect.
    """

    rank: int = 0
    count: int = 1
    even: bool = False


_WHOLE = BatchShare()


def make_batch(
    rows: Sequence[npt.ArrayLike],
    counted: Sequence[npt.ArrayLike],
    token_budget: int | None = None,
    *,
    single: bool = False,
    share: BatchShare = _WHOLE,
) -> TreeBatch:
    """Build the tries of the rows of one step.

    Args:
        rows: Token ids of each row.
        counted: For each row, True at the tokens whose log-probability counts; a first token never does.
        token_budget: Most distinct tokens of one forward pass.
        single: Each row is a piece of its own, for models that cannot compute a trie.
        share: The part of the rows whose tries are built; by default all.
    """
    arrays = [np.asarray(row, np.int64) for row in rows]
    masks = [np.asarray(one, np.bool_).copy() for one in counted]
    for mask in masks:
        mask[:1] = False
    sizes = [int(mask.sum()) for mask in masks]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    pieces: list[TreePiece] = []
    for members in _members_of_pieces(arrays, token_budget, single, share):
        trie = build_trie([arrays[i] for i in members])
        nodes = _join([path[masks[i]] for i, path in zip(members, trie.paths, strict=True)])
        wanted = np.zeros(trie.distinct_tokens, np.bool_)
        wanted[nodes] = True
        tokens = _join([np.arange(offsets[i], offsets[i + 1]) for i in members])
        pieces.append(
            TreePiece(trie, wanted, tokens, np.searchsorted(np.flatnonzero(wanted), nodes))
        )
    if share.even:
        pieces = _even_out(pieces, arrays, _most_pieces(arrays, token_budget, single, share))
    return TreeBatch(pieces, int(offsets[-1]), sum(map(len, arrays)))


def _even_out(pieces: list[TreePiece], rows: list[Ints], count: int) -> list[TreePiece]:
    """Return as many pieces as another process has at most, all of which run the model; added ones count nothing."""
    trie = build_trie([min(rows, key=len)])
    wanted = np.zeros(trie.distinct_tokens, np.bool_)
    wanted[-1] = True
    none = np.empty(0, np.int64)
    filler = TreePiece(trie, wanted, none, none)
    kept = [piece if piece.wanted.any() else filler for piece in pieces]
    return kept + [filler] * (count - len(kept))


def _most_pieces(
    rows: list[Ints], token_budget: int | None, single: bool, share: BatchShare
) -> int:
    others = (BatchShare(rank, share.count) for rank in range(share.count))
    return max(len(_members_of_pieces(rows, token_budget, single, one)) for one in others)


def _members_of_pieces(
    rows: list[Ints], token_budget: int | None, single: bool, share: BatchShare
) -> list[list[int]]:
    """Return the rows of each piece that this process computes."""
    if share.count == 1:
        return [[i] for i in range(len(rows))] if single else pack_rows(rows, token_budget)
    found: list[list[list[int]]] = []
    for members in share_rows(rows, share.count):
        packed = pack_rows([rows[i] for i in members], token_budget)
        pieces = [[members[i] for i in piece] for piece in packed]
        found.append([[i] for i in members] if single else pieces)
    return found[share.rank]


def _join(parts: list[Ints]) -> Ints:
    return np.concatenate([np.empty(0, np.int64), *parts])


def compute_logprobs(model: Any, batch: TreeBatch, kind: str) -> torch.Tensor:
    """Return log-probabilities of the counted tokens, with gradients where they are enabled and `kind` differs from "depth_first".

    Args:
        model: The model; for "blocks" inside `tree_attention`.
        batch: The rows.
        kind: "blocks", "mask", "depth_first", or "rows" where each piece is one row.
    """
    found = [_piece_logprobs(model, piece, kind) for piece in batch.pieces if piece.wanted.any()]
    if not found:
        return torch.zeros(0, device=next(model.parameters()).device)
    order = np.argsort(_join([piece.tokens for piece in batch.pieces]))
    return torch.cat(found)[torch.from_numpy(order).to(found[0].device)]


def _piece_logprobs(model: Any, piece: TreePiece, kind: str) -> torch.Tensor:
    if kind == "depth_first":
        logprobs = logprobs_depth_first(model, piece.trie, piece.wanted)
    else:
        logprobs = attention_logprobs(model, piece.trie, piece.wanted, _form_of(kind))
    return logprobs[torch.from_numpy(piece.places).to(logprobs.device)]


def _form_of(kind: str) -> AttentionForm:
    return kind if kind in ("blocks", "flex", "rows") else "mask"


def backward_in_pieces(
    model: Any,
    batch: TreeBatch,
    kind: str,
    loss: Loss,
    *,
    linear: bool = False,
    backward: Backward | None = None,
    add_up: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add the gradients of a loss over all rows to the model's parameters, one piece in memory at a time.

    Args:
        model: The model; for "blocks" inside `tree_attention`.
        batch: The rows.
        kind: "blocks", "mask", "depth_first", or "rows" where each piece is one row.
        loss: The loss as a function of the log-probabilities of the counted tokens.
        linear: The loss is linear in them, so its gradient is known before they are.
        backward: Called in place of `tensor.backward()`.
        add_up: Returns the sum of a tensor over the processes that share the batch.

    Returns:
        The loss and the log-probabilities, without gradients.
    """
    run, total = backward or torch.Tensor.backward, add_up or (lambda values: values)
    with torch.no_grad():
        known = _empty_logprobs(model, batch)
        if not linear:
            known = total(_fill_logprobs(model, batch, kind, known))
    slopes = _slopes(loss, known)
    found = _empty_logprobs(model, batch)
    for piece in batch.pieces:
        if piece.wanted.any():
            logprobs = _backward_piece(model, piece, kind, slopes, run)
            found[_index(piece.tokens, found)] = logprobs.to(found.dtype)
    with torch.no_grad():
        found = total(found)
        return loss(found), found


def _empty_logprobs(model: Any, batch: TreeBatch) -> torch.Tensor:
    weight = next(model.parameters())
    precision = torch.promote_types(weight.dtype, torch.float32)
    return torch.zeros(batch.count, dtype=precision, device=weight.device)


def _fill_logprobs(model: Any, batch: TreeBatch, kind: str, known: torch.Tensor) -> torch.Tensor:
    for piece in batch.pieces:
        if piece.wanted.any():
            logprobs = _piece_logprobs(model, piece, kind)
            known[_index(piece.tokens, known)] = logprobs.to(known.dtype)
    return known


def _index(places: Ints, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(places).to(like.device)


def _slopes(loss: Loss, at: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the loss on each log-probability."""
    leaf = at.clone().requires_grad_()
    with torch.enable_grad():
        value = loss(leaf) + 0 * leaf.sum()  # a loss that ignores them has the gradient 0
        (slopes,) = torch.autograd.grad(value, leaf)
    return slopes


def _backward_piece(
    model: Any, piece: TreePiece, kind: str, slopes: torch.Tensor, backward: Backward
) -> torch.Tensor:
    """Add the gradients of one piece; return the log-probabilities of its tokens."""
    places = torch.from_numpy(piece.places).to(slopes.device)
    coefficients = torch.zeros(int(piece.wanted.sum()), dtype=slopes.dtype, device=slopes.device)
    tokens = torch.from_numpy(piece.tokens).to(slopes.device)
    coefficients.index_add_(0, places, slopes[tokens])
    if kind == "depth_first":
        logprobs = backward_depth_first(model, piece.trie, piece.wanted, coefficients, backward)
        return logprobs[places]
    logprobs = attention_logprobs(model, piece.trie, piece.wanted, _form_of(kind))
    backward((logprobs * coefficients).sum())
    return logprobs.detach()[places]
