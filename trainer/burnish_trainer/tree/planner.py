"""Plan how rows are computed: order, pieces under a token budget, and the way of execution.

`plan_execution` counts flat and distinct tokens of the steps to come and decides if sharing pays;
`order_by_prefix` puts rows that share a long prefix into the same step; `pack_rows` divides the rows of one step into
pieces that fit. A piece is a set of whole rows, so every row is computed behind its own context, and a prefix that two
pieces share is context of both: the sum of the pieces is exact. Everything is a function of the rows alone.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from burnish_trainer.tree.prefix_trie import Ints, shared_length, sort_rows

PAYS = 1.2
"""Ratio of flat to distinct tokens from which the trie is faster than padded rows: measured, see benchmarks/RESULTS.md."""
_WINDOW = 4  # steps whose rows are sorted by prefix together
_SAMPLED_STEPS = 64  # steps whose tokens are counted


@dataclass(frozen=True)
class ExecutionPlan:
    """Choice of how the rows of a run are computed.

    Attributes:
        kind: "rows", "blocks", "flex", "mask" or "depth_first".
        reason: Why, in words.
        flat_tokens: Tokens of the counted steps over all rows, padding left out.
        distinct_tokens: Distinct tokens of the same steps, each step by itself.
        token_budget: Most distinct tokens of one forward pass; None sets no limit.
    """

    kind: str
    reason: str
    flat_tokens: int = 0
    distinct_tokens: int = 0
    token_budget: int | None = None

    @property
    def ratio(self) -> float:
        """Return flat tokens for each distinct one."""
        return self.flat_tokens / max(1, self.distinct_tokens)

    @property
    def shares(self) -> bool:
        """Return whether a trie is used."""
        return self.kind != "rows"

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return {**asdict(self), "ratio": round(self.ratio, 4)}


def count_distinct(rows: Sequence[Ints]) -> int:
    """Count the distinct (context, token) pairs of rows."""
    order = sort_rows(rows)
    shared = (shared_length(rows[a], rows[b]) for a, b in itertools.pairwise(order))
    return sum(map(len, rows)) - sum(shared)


def plan_execution(
    rows: Sequence[Ints],
    steps: Sequence[Sequence[int]],
    *,
    wish: str = "auto",
    token_budget: int | None = None,
) -> ExecutionPlan:
    """Decide how the steps of a run are computed.

    Args:
        rows: Token ids of the rows.
        steps: For each step, the indices of its rows.
        wish: "auto" shares where it pays; "off" never; "blocks", "mask" and "depth_first" always, in that way.
        token_budget: Most distinct tokens of one forward pass.
    """
    every = max(1, len(steps) // _SAMPLED_STEPS)
    counted = [[rows[i] for i in step] for step in steps[::every]]
    flat = sum(len(row) for step in counted for row in step)
    distinct = sum(count_distinct(step) for step in counted)
    ratio = flat / max(1, distinct)
    if wish == "off":
        return ExecutionPlan("rows", "sharing is switched off", flat, distinct)
    if wish == "auto" and ratio < PAYS:
        reason = f"{ratio:.2f} flat tokens for each distinct one, below {PAYS}"
        return ExecutionPlan("rows", reason, flat, distinct)
    kind = "blocks" if wish == "auto" else wish
    reason = f"{ratio:.2f} flat tokens for each distinct one"
    return ExecutionPlan(kind, reason, flat, distinct, token_budget)


def pack_rows(rows: Sequence[Ints], token_budget: int | None) -> list[list[int]]:
    """Divide rows into pieces whose tries have at most `token_budget` nodes; one longer row is a piece of its own.

    Rows are taken in the order of their tokens, so those that share most are in the same piece.

    Returns:
        For each piece, the indices of its rows.
    """
    order = sort_rows(rows)
    pieces: list[list[int]] = []
    size, last = 0, np.empty(0, np.int64)
    for place in order:
        row = rows[place]
        fresh = len(row) - shared_length(last, row)
        if pieces and (token_budget is None or size + fresh <= token_budget):
            pieces[-1].append(place)
            size += fresh
        else:
            pieces.append([place])
            size = len(row)
        last = row
    return pieces


def share_rows(rows: Sequence[Ints], count: int) -> list[list[int]]:
    """Divide rows between processes, so that each computes about as many distinct tokens.

    Rows are taken in the order of their tokens, so those that share most go to the same process.

    Returns:
        For each process, the indices of its rows; a function of the rows alone.
    """
    order = sort_rows(rows)
    firsts = [0, *(shared_length(rows[a], rows[b]) for a, b in itertools.pairwise(order))]
    fresh = [len(rows[place]) - shared for place, shared in zip(order, firsts, strict=False)]
    middles = np.cumsum(fresh) - np.asarray(fresh) / 2
    owners = np.minimum(middles * count // max(1, sum(fresh)), count - 1)
    shares: list[list[int]] = [[] for _ in range(count)]
    for place, owner in zip(order, owners, strict=True):
        shares[int(owner)].append(place)
    return shares


def order_by_prefix(rows: Sequence[Ints], batch: int, epochs: float, seed: int) -> list[int]:
    """Return the indices of rows in the order of training, over all epochs.

    Rows that share more than the prefix of the whole set (calls of one run, attempts at one task) stay together, at most
    half a batch of them. Each epoch shuffles these groups; within a window of a few steps rows are sorted by prefix, and
    the steps of a window are shuffled.

    Args:
        rows: Token ids of the rows.
        batch: Rows of one step.
        epochs: Passes over the rows.
        seed: Seed of the order.
    """
    groups = _group_relatives(rows, max(1, batch // 2))
    rank = np.empty(len(rows), np.int64)
    rank[sort_rows(rows)] = np.arange(len(rows))
    order: list[int] = []
    for epoch in range(math.ceil(epochs)):
        rng = random.Random(f"{seed}/{epoch}")  # noqa: S311 - an order, no secret
        drawn = [i for group in rng.sample(groups, len(groups)) for i in group]
        for start in range(0, len(drawn), batch * _WINDOW):
            window = sorted(drawn[start : start + batch * _WINDOW], key=lambda i: int(rank[i]))
            steps = [window[i : i + batch] for i in range(0, len(window), batch)]
            rng.shuffle(steps)
            order += [index for step in steps for index in step]
    return order[: math.ceil(len(rows) * epochs)]


def _group_relatives(rows: Sequence[Ints], most: int) -> list[list[int]]:
    """Group neighbours that share at least half of what lies behind the prefix of all rows."""
    order = sort_rows(rows)
    if not order:
        return []
    common = shared_length(rows[order[0]], rows[order[-1]])
    groups = [[order[0]]]
    for before, place in itertools.pairwise(order):
        shared = shared_length(rows[before], rows[place]) - common
        shorter = min(len(rows[before]), len(rows[place])) - common
        if 2 * shared >= max(1, shorter) and len(groups[-1]) < most:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
