"""Measure how often a solver solves generated tasks, and keep those that it solves sometimes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from burnish.records import Json, Record
from burnish_trainer.generation.proposals import GeneratedTask

Solver = Callable[[GeneratedTask, int], tuple[str, Json] | None]
"""Makes one attempt, given the task and the number of the attempt; returns tool and arguments of its call, or None."""


class MeasuredTask(Record, frozen=True, kw_only=True):
    """A task with the solver's successes at it."""

    task: GeneratedTask
    successes: int
    attempts: int

    @property
    def pass_rate(self) -> float:
        """Return the share of successful attempts."""
        return self.successes / self.attempts


def measure_difficulty(
    tasks: Iterable[GeneratedTask], solve: Solver, *, attempts: int = 8
) -> list[MeasuredTask]:
    """Return each task with the number of attempts whose call is the gold call.

    Args:
        tasks: The tasks.
        solve: The solver.
        attempts: Attempts at each task.
    """
    found: list[MeasuredTask] = []
    for task in tasks:
        calls = [solve(task, number) for number in range(1, attempts + 1)]
        successes = sum(call is not None and task.is_solved_by(*call) for call in calls)
        found.append(MeasuredTask(task=task, successes=successes, attempts=attempts))
    return found


def select_frontier(
    measured: Sequence[MeasuredTask], *, low: float = 0.2, high: float = 0.8
) -> list[MeasuredTask]:
    """Return the tasks that are solved sometimes, nearest to one half first.

    A task that is always solved teaches nothing. One that never is may have a wrong gold call: it is not a hard task
    until a person has looked at it.

    Args:
        measured: Tasks with their successes.
        low: Smallest pass rate.
        high: Largest pass rate.
    """
    kept = [one for one in measured if low <= one.pass_rate <= high]
    return sorted(kept, key=lambda one: abs(one.pass_rate - 0.5))


def generator_reward(kept: bool, pass_rate: float | None = None, *, target: float = 0.5) -> float:
    """Return the generator's reward for a proposal: 0 if it was dropped, else 1 at the target and less away from it.

    The reward is 1 - |p - target| / max(target, 1 - target): a proposal that is valid, but always or never solved, is
    worth as little as one that was dropped.

    Args:
        kept: The proposal passed the structural checks.
        pass_rate: Share of the solver's attempts that succeeded; None if it was not measured.
        target: Pass rate at which attempts differ most.
    """
    if not kept or pass_rate is None:
        return 0.0
    return 1.0 - abs(pass_rate - target) / max(target, 1.0 - target)
