"""Define the outcome of one attempt, and what a file of results holds."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from burnish.records import Record

_LARGEST = 1e100  # of a score or cost: sums and squares of larger ones are not finite
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89abcdefABCDEF]")
_SURROGATES = re.compile("[\ud800-\udfff]")


class TaskOutcome(Record, frozen=True, kw_only=True):
    """The outcome of one attempt at a task.

    Attributes:
        task: Id of the task.
        value: 1 or 0 for success and failure, or a score.
        success: False if the value is a score.
        family: Family of similar tasks; its own id if it has none.
        attempt: Number of the attempt; None if the file does not tell.
        cost: Cost of the attempt, in the file's own unit.
    """

    task: str
    value: float
    success: bool = True
    family: str | None = None
    attempt: int | None = None
    cost: float | None = None


@dataclass
class ResultFile:
    """The outcomes that were read from a file.

    Attributes:
        name: Name of the file, with the chosen side.
        format: Name of the format.
        outcomes: Outcomes of the attempts.
        dropped: Count of entries without an outcome, by reason.
        cost_unit: Unit of the costs.
        notes: What else a reader should know.
    """

    name: str
    format: str
    outcomes: list[TaskOutcome] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    cost_unit: str = "cost"
    notes: list[str] = field(default_factory=list)

    def extend(self, found: Iterable[TaskOutcome | str]) -> None:
        """Add outcomes, and count the reasons of entries without one.

        Args:
            found: Outcomes, and reasons for entries without one.
        """
        seen = {(o.task, o.attempt) for o in self.outcomes}
        for one in found:
            if isinstance(one, str):
                self.dropped[one] += 1
            elif one.attempt is not None and (one.task, one.attempt) in seen:
                self.dropped["the same attempt twice"] += 1
            else:
                seen.add((one.task, one.attempt))
                self.outcomes.append(one)


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
