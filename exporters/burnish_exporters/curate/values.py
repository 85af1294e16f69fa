"""What a step is worth, by what became of the attempts that took it.

Knows: counting outcomes over shared beginnings (Monte-Carlo step values over logged runs; Math-Shepherd's soft labels,
arXiv 2312.08935, without new rollouts). Does not know: where attempts come from, and what values are used for.

Pure functions: the luck filter uses them, and credit assignment can.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

Prefix = tuple[str, tuple[str, ...]]


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt: its task, a key of each action, and how it ended."""

    task: str
    actions: tuple[str, ...]
    success: bool


def step_values(attempts: Iterable[Attempt]) -> dict[Prefix, tuple[int, int]]:
    """Successes and attempts through each beginning `(task, actions so far)`.

    Beginnings of different tasks are never pooled, however alike; the empty beginning is the task itself.
    """
    values: dict[Prefix, tuple[int, int]] = {}
    for attempt in attempts:
        for length in range(len(attempt.actions) + 1):
            key = (attempt.task, attempt.actions[:length])
            won, total = values.get(key, (0, 0))
            values[key] = won + attempt.success, total + 1
    return values


def value(
    values: dict[Prefix, tuple[int, int]], task: str, actions: tuple[str, ...]
) -> float | None:
    """Share of successes from a beginning, 0 to 1; None if no attempt took it."""
    won, total = values.get((task, actions), (0, 0))
    return won / total if total else None
