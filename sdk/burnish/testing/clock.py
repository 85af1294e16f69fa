"""Provide a clock that advances by a fixed step at each reading."""

from __future__ import annotations

import threading


class CountingClock:
    """Returns a time that grows by one step per reading, so that tests know every time.

    Args:
        start_ns: First reading, in nanoseconds since the epoch.
        step_ns: Growth from one reading to the next.
    """

    def __init__(self, start_ns: int = 1_700_000_000_000_000_000, step_ns: int = 1_000_000) -> None:
        self._next, self._step = start_ns, step_ns
        self._lock = threading.Lock()

    def __call__(self) -> int:
        """Return the next time, in nanoseconds since the epoch."""
        with self._lock:
            now = self._next
            self._next += self._step
            return now
