"""Read the arguments of the scopes that surround an agent's own code.

A wrong optional argument of `task` or `trace` must not stop the agent: it is left out and counted
as a fault (`burnish doctor`), and raised under pytest alone. Calls that only report, such as
`outcome`, refuse it with an error instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from burnish.capture import faults
from burnish.capture.recorder.values import WrongValue
from burnish.errors import CaptureError

_T = TypeVar("_T")


def tolerate(place: str, read: Callable[[Any], _T], value: Any, default: _T, fix: str) -> _T:
    """Read an argument; report a wrong one as a fault and use `default`.

    Args:
        place: The call and its argument, such as "task(attempt)".
        read: Reads the value; raises WrongValue.
        value: The given value; None means the default.
        default: The value for None and for a wrong value.
        fix: A correct call.
    """
    if value is None:
        return default
    try:
        return read(value)
    except WrongValue as wrong:
        report_wrong(place, wrong.found, wrong.expected, fix)
        return default


def report_wrong(place: str, found: str, expected: str, fix: str) -> None:
    """Count a wrong argument as a fault, and raise it under pytest."""
    faults.report(place, CaptureError(f"{place} is {found}", expected, fix))
