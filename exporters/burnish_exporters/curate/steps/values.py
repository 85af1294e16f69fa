"""Estimate the value of a step from the results of the attempts that took it.

The values are Monte-Carlo estimates over logged runs with shared beginnings (Math-Shepherd's soft labels, arXiv
2312.08935, without new rollouts). The functions are pure; the luck filter and credit assignment use them.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

Prefix = tuple[str, tuple[str, ...]]


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt: its task, a key of each action, and its result."""

    task: str
    actions: tuple[str, ...]
    success: bool


def step_values(attempts: Iterable[Attempt]) -> dict[Prefix, tuple[int, int]]:
    """Count successes and attempts through each beginning `(task, actions so far)`.

    Beginnings of different tasks are never pooled; the empty beginning is the task itself.
    """
    values: dict[Prefix, tuple[int, int]] = {}
    for attempt in attempts:
        for length in range(len(attempt.actions) + 1):
            key = (attempt.task, attempt.actions[:length])
            won, total = values.get(key, (0, 0))
            values[key] = won + attempt.success, total + 1
    return values


def step_value(
    values: dict[Prefix, tuple[int, int]], task: str, actions: tuple[str, ...]
) -> float | None:
    """Return the share of successes from a beginning, 0 to 1; None if no attempt took it."""
    won, total = values.get((task, actions), (0, 0))
    return won / total if total else None
