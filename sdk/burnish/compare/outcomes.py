"""Define the outcome of one attempt, and what a file of results holds."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from burnish.records import Record

HELDOUT = "heldout"
"""The pool of the tasks that decide, and of files that name no pools."""

_LARGEST = 1e100  # of a score or cost: sums and squares of larger ones are not finite
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89abcdefABCDEF]")
_SURROGATES = re.compile("[\ud800-\udfff]")


class TaskOutcome(Record, frozen=True, kw_only=True):
    """The outcome of one attempt at a task.

    Attributes:
        task: Id of the task.
        value: 1 or 0 for success and failure, or a score.
        success: False if the value is a score.
        pool: Named set of tasks that the task belongs to.
        family: Family of similar tasks; its own id if it has none.
        attempt: Number of the attempt; None if the file does not tell.
        cost: Cost of the attempt, in the file's own unit.
        ignored: Why values of the attempt that decide nothing were ignored.
    """

    task: str
    value: float
    success: bool = True
    pool: str = HELDOUT
    family: str | None = None
    attempt: int | None = None
    cost: float | None = None
    ignored: tuple[str, ...] = ()


class LeftOut(NamedTuple):
    """An entry without an outcome.

    Attributes:
        reason: Why it has none.
        task: Id of its task; None if it is not known.
        pool: Named set of tasks that the task belongs to.
    """

    reason: str
    task: str | None = None
    pool: str = HELDOUT


@dataclass
class ResultFile:
    """The outcomes that were read from a file.

    Attributes:
        name: Name of the file, with the chosen side.
        format: Name of the format.
        outcomes: Outcomes of the attempts.
        dropped: Count of entries without an outcome, by reason.
        ignored: Count of ignored values, such as a cost that is not a number, by reason.
        incomplete: Pool and id of the tasks with an entry without an outcome.
        cost_unit: Unit of the costs.
        notes: What else a reader should know.
    """

    name: str
    format: str
    outcomes: list[TaskOutcome] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    incomplete: set[tuple[str, str]] = field(default_factory=set)
    cost_unit: str = "cost"
    notes: list[str] = field(default_factory=list)

    def extend(self, found: Iterable[TaskOutcome | LeftOut]) -> None:
        """Add outcomes, and count the reasons of entries without one.

        Args:
            found: Outcomes, and entries without one.
        """
        seen = {(o.pool, o.task, o.attempt) for o in self.outcomes}
        for one in found:
            if isinstance(one, LeftOut):
                self.dropped[one.reason] += 1
                if one.task is not None:
                    self.incomplete.add((one.pool, one.task))
                continue
            key = (one.pool, one.task, one.attempt)
            if one.attempt is not None and key in seen:
                self.dropped["the same attempt twice"] += 1
                continue
            seen.add(key)
            self.outcomes.append(one)
            self.ignored.update(one.ignored)


def make_outcome(
    task: str,
    value: float,
    *,
    success: bool = True,
    pool: str = HELDOUT,
    family: Any = None,
    attempt: Any = None,
    cost: Any = None,
) -> TaskOutcome:
    """Return an outcome; a family, attempt or cost of a wrong form is ignored with its reason.

    Args:
        task: Id of the task.
        value: 1 or 0 for success and failure, or a score.
        success: False if the value is a score.
        pool: Named set of tasks that the task belongs to.
        family: Family of similar tasks, as the file states it.
        attempt: Number of the attempt, as the file states it.
        cost: Cost of the attempt, as the file states it.
    """
    known_family, known_attempt, known_cost = (
        read_name(family),
        read_attempt(attempt),
        read_number(cost),
    )
    negative = known_cost is not None and known_cost < 0
    reasons = {
        "a family that is neither a text nor an integer": family is not None
        and known_family is None,
        "an attempt that is not an integer": attempt is not None and known_attempt is None,
        "a cost that is not a finite number": cost is not None and known_cost is None,
        "a cost below 0": negative,
    }
    return TaskOutcome(
        task=task,
        value=value,
        success=success,
        pool=pool,
        family=known_family,
        attempt=known_attempt,
        cost=None if negative else known_cost,
        ignored=tuple(reason for reason, holds in reasons.items() if holds),
    )


def read_success(value: Any) -> float | None:
    """Return 1 or 0 for a success that is spelled as a truth value; None for anything else."""
    if isinstance(value, bool) or (isinstance(value, int | float) and value in (0, 1)):
        return float(value)
    return None


def read_number(value: Any) -> float | None:
    """Return a finite number of a size that can be added up; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -_LARGEST <= value <= _LARGEST else None


def read_attempt(value: Any) -> int | None:
    """Return the number of an attempt, also one that a table wrote as a float; None for anything else."""
    number = read_number(value)
    return int(number) if number is not None and number.is_integer() else None


def read_name(value: Any) -> str | None:
    """Return a task or family as text: a text that is not empty, or an integer; None for anything else."""
    if isinstance(value, str) and value:
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def decode_json(content: str | bytes) -> Any:
    """Decode JSON; halves of surrogate pairs, which no file can hold, become replacement characters.

    Args:
        content: The document.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
    """
    try:
        value = json.loads(content)
        raw = content.encode("utf-8", "replace") if isinstance(content, str) else content
        return _replace_surrogates(value) if _ESCAPED_SURROGATE.search(raw) else value
    except RecursionError as problem:
        raise ValueError("nested too deeply") from problem


def _replace_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_replace_surrogates(one) for one in value]
    if isinstance(value, dict):
        return {_replace_surrogates(key): _replace_surrogates(one) for key, one in value.items()}
    return value
