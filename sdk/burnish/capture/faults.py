"""Catch, count and log errors inside capture, so that they never reach the agent.

`guarded` wraps an entry of capture; `report` counts a fault and logs the first of its kind.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

_log = logging.getLogger("burnish")
_counts: dict[str, int] = {}
_said: set[str] = set()
_told: dict[str, int] = {}
_news = False
_QUIET = ("ignored_runs", "dropped_frames")  # not a fault; the trajectory itself records it
_raising: bool | None = None  # None: only under pytest


def raises_faults() -> bool:
    """Return whether faults are raised to the caller: under pytest, so that tests notice them."""
    return "PYTEST_CURRENT_TEST" in os.environ if _raising is None else _raising


def set_raising(value: bool | None) -> bool | None:
    """Set whether faults are raised (None: only under pytest); return the previous setting."""
    global _raising
    before, _raising = _raising, value
    return before


def guarded(entry: Callable[_P, _T]) -> Callable[_P, _T | None]:
    """Wrap an entry of capture so that it returns None if it fails."""

    @functools.wraps(entry)
    def guard(*args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        try:
            return entry(*args, **kwargs)
        except Exception as fault:  # noqa: BLE001 - a fault in capture must not reach the agent
            report(entry.__name__, fault)
            return None

    return guard


def report(kind: str, fault: BaseException) -> None:
    """Count a fault, log the first of its kind, and raise it under pytest."""
    key = f"{kind}: {type(fault).__name__}"
    count(key)
    if key not in _said:
        _said.add(key)
        _log.warning(
            "capture failed in %s and continues without it; further faults of this kind are only "
            "counted (burnish doctor): %r",
            kind,
            fault,
            exc_info=fault,
        )
    if raises_faults():
        raise fault


def say_once(kind: str, message: str) -> None:
    """Count an event that is not a fault of burnish and log the first of its kind."""
    count(kind)
    if kind not in _said:
        _said.add(kind)
        _log.warning(message)


def count(kind: str, number: int = 1) -> None:
    """Add to the count of a kind."""
    global _news
    _counts[kind] = _counts.get(kind, 0) + number
    if kind not in _QUIET:
        _news = True


def has_news() -> bool:
    """Return whether a count is not in the journal yet."""
    return _news


def untold() -> dict[str, int]:
    """Return the counts that are not in the journal yet."""
    return {
        kind: number - _told.get(kind, 0)
        for kind, number in list(_counts.items())
        if kind not in _QUIET and number > _told.get(kind, 0)
    }


def told(news: dict[str, int]) -> None:
    """Mark these counts as written to the journal."""
    global _news
    for kind, number in news.items():
        _told[kind] = _told.get(kind, 0) + number
    _news = bool(untold())


def counts() -> dict[str, int]:
    """Return faults, drops and ignored runs of this process, by kind."""
    return dict(_counts)


def forget() -> None:
    """Reset all counts; for tests."""
    global _news
    _news = False
    _told.clear()
    _counts.clear()
    _said.clear()
