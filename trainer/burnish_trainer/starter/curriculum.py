"""Draw the pretraining rows of the starter: first copying, then correct solutions, then bad habits too."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from burnish_trainer.starter.demonstrations import (
    chosen_way,
    conversation,
    random_task,
    tool_schemas,
)
from burnish_trainer.starter.tokenizer import SPECIAL, render
from burnish_trainer.starter.world import project_module

DESKS = ("shop", "shop", "library", "clinic")
SHARES = range(11)  # of twenty; the example's pools hold the rest
CLEAN_SHARE = 0.3  # of all steps, in which no habit is shown
COPY_SHARE = 0.1  # of all steps, over which copying rows fade
COPY_FLOOR = 0.05  # of the rows, kept to the end
CONTEXT_WEIGHT = 0.05  # of tokens that the assistant did not write
POOLED_BATCHES = 16

Row = tuple[list[int], list[float]]


@dataclass(frozen=True)
class Batch:
    """Rows of similar length, padded on the right (B rows, T tokens)."""

    ids_bt: torch.Tensor
    weights_bt: torch.Tensor


def sample_texts(count: int, seed: int, tokenizer: Any) -> Iterator[str]:
    """Yield rendered conversations to train a tokenizer on.

    Args:
        count: Number of conversations.
        seed: Random seed.
        tokenizer: Any object that carries the chat template.
    """
    rng = random.Random(seed)  # noqa: S311 - seeded on purpose
    schemas = {desk: tool_schemas(desk) for desk in set(DESKS)}
    for _ in range(count):
        task = random_task(rng, DESKS, SHARES)
        messages = conversation(task, chosen_way(task, rng, clean=False))
        yield render(tokenizer, messages, schemas[task["desk"]])


class Curriculum:
    """Draws rows by the progress of the pretraining.

    Args:
        tokenizer: The starter's tokenizer.
        seed: Random seed.
    """

    def __init__(self, tokenizer: Any, seed: int) -> None:
        self._tokenizer = tokenizer
        self._rng = random.Random(seed)  # noqa: S311 - seeded on purpose
        self._schemas = {desk: tool_schemas(desk) for desk in set(DESKS)}
        self._every = list(range(len(SPECIAL), len(tokenizer)))
        self._copied = self._tokens_to_copy()
        self._opens = tokenizer("<|im_start|>assistant\n")["input_ids"]

    def batches(self, steps: int, rows: int) -> Iterator[Batch]:
        """Yield one batch a step.

        Args:
            steps: Steps of the whole pretraining.
            rows: Rows of a batch.
        """
        pool: list[list[Row]] = []
        for step in range(steps):
            if not pool:  # similar lengths together, so that little is padding
                drawn = sorted(
                    (self._draw_row(step / steps) for _ in range(POOLED_BATCHES * rows)),
                    key=lambda row: len(row[0]),
                )
                pool = [drawn[i : i + rows] for i in range(0, len(drawn), rows)]
                self._rng.shuffle(pool)
            yield self._pad_rows(pool.pop())

    def _draw_row(self, progress: float) -> Row:
        if self._rng.random() < max(COPY_FLOOR, 1 - progress / COPY_SHARE):
            return self._copy_row()
        task = random_task(self._rng, DESKS, SHARES)
        way = chosen_way(task, self._rng, clean=progress <= CLEAN_SHARE)
        text = render(self._tokenizer, conversation(task, way), self._schemas[task["desk"]])
        ids = self._tokenizer(text)["input_ids"]
        return ids, self._loss_weights(ids)

    def _copy_row(self) -> Row:
        """Return a random span, repeated twice or three times, to learn copying."""
        rng = self._rng
        length, times = rng.randint(6, 30), rng.randint(2, 3)
        span = [
            rng.choice(self._copied if rng.random() < 0.8 else self._every) for _ in range(length)
        ]
        return span * times, [0.0] * length + [1.0] * (length * (times - 1))

    def _tokens_to_copy(self) -> list[int]:
        """Return the tokens that numbers and names consist of."""
        syllables = project_module("tasks").SYLLABLES
        pieces = [f"{pair:02d}" for pair in range(100)]
        pieces += [*syllables, *(syllable.capitalize() for syllable in syllables)]
        return sorted({token for piece in pieces for token in self._tokenizer(piece)["input_ids"]})

    def _loss_weights(self, ids: list[int]) -> list[float]:
        """Return weight 1 for the tokens of the assistant, including its end mark."""
        weights, opens, end = [CONTEXT_WEIGHT] * len(ids), self._opens, self._tokenizer.eos_token_id
        for start in range(len(ids) - len(opens)):
            if ids[start : start + len(opens)] == opens:
                first = start + len(opens)
                last = ids.index(end, first) + 1
                weights[first:last] = [1.0] * (last - first)
        return weights

    def _pad_rows(self, rows: list[Row]) -> Batch:
        length = max(len(ids) for ids, _ in rows)
        ids_bt = torch.full((len(rows), length), self._tokenizer.pad_token_id)
        weights_bt = torch.zeros(len(rows), length)
        for index, (ids, weights) in enumerate(rows):
            ids_bt[index, : len(ids)] = torch.tensor(ids)
            weights_bt[index, : len(ids)] = torch.tensor(weights)
        return Batch(ids_bt, weights_bt)
