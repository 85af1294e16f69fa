"""Hold the past of each request in the cache that the model makes for itself.

Models with layers whose past is more than keys and values (state-space layers, convolutions, linear attention) cannot
share one pool. Each of their requests has a cache of its own and a forward of its own: slower, and exact.
"""

# How it works: a forward changes its cache, and one that fails leaves it half changed. So a row remembers the logits of
# its last token: a step that is asked for twice, because another row of it failed, is answered from there, and a row
# whose own forward failed is never stepped again.

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch

from burnish.serving.embedded.slots import Slot

RowForward = Callable[[Sequence[int], int, Any, Slot | None], tuple[torch.Tensor, Any]]
"""Runs tokens from a position on, over a cache (None: a new one); returns the last logits and the cache."""


@dataclasses.dataclass
class RowPast:
    """The past of one request."""

    cache: Any
    length: int
    logits: torch.Tensor
    broken: Exception | None = None


class RowCaches:
    """The caches of all running requests, by row."""

    def __init__(self) -> None:
        self._rows: list[RowPast | None] = []

    def reserve_rows(self, rows: int, columns: int) -> None:
        """Do nothing: each cache grows by itself."""
        del rows, columns

    def run_prefill(
        self,
        forward: RowForward,
        prompts: Sequence[Sequence[int]],
        slots: Sequence[Slot | None],
        start: int,
    ) -> torch.Tensor:
        """Run whole prompts, one after another, into the rows from `start` on; return their last logits."""
        del self._rows[start:]
        for prompt, slot in zip(prompts, slots, strict=True):
            logits, cache = forward(prompt, 0, None, slot)
            self._rows.append(RowPast(cache, len(prompt), logits))
        return self._collect_logits(range(start, len(self._rows)))

    def run_step(
        self,
        forward: RowForward,
        tokens: Sequence[int],
        lengths: Sequence[int],
        slots: Sequence[Slot | None],
        places: Sequence[int] | None,
    ) -> torch.Tensor:
        """Run one token of each row, one after another; return their logits."""
        if places is None:
            del self._rows[len(tokens) :]
        at = range(len(tokens)) if places is None else places
        for row, token, length, slot in zip(at, tokens, lengths, slots, strict=True):
            self._step_row(forward, self._require_row(row), token, length, slot)
        return self._collect_logits(at)

    def clear_row(self, row: int) -> None:
        """Forget the past of a row."""
        self._rows[row] = None

    def move_row(self, source: int, target: int, length: int) -> None:
        """Move a row to the place of another."""
        del length
        self._rows[target], self._rows[source] = self._rows[source], None

    def _step_row(
        self, forward: RowForward, past: RowPast, token: int, length: int, slot: Slot | None
    ) -> None:
        if past.broken is not None:
            raise past.broken
        if past.length == length + 1:  # done already, before another row of the step failed
            return
        try:
            past.logits, past.cache = forward([token], length, past.cache, slot)
        except Exception as error:
            past.broken = error
            raise
        past.length = length + 1

    def _collect_logits(self, rows: Sequence[int]) -> torch.Tensor:
        return torch.stack([self._require_row(row).logits for row in rows])

    def _require_row(self, row: int) -> RowPast:
        past = self._rows[row]
        assert past is not None  # noqa: S101 - only a failed row is cleared, and it is removed
        return past
