"""A clock that counts. Knows: nanoseconds that go on by a fixed step. Does not know: real time."""

from __future__ import annotations

import threading


class CountingClock:
    """Gives a time that grows by one step a reading, so that tests can name it.

    Args:
        start_ns: First reading, in nanoseconds since the epoch.
        step_ns: Growth from one reading to the next.
    """

    def __init__(self, start_ns: int = 1_700_000_000_000_000_000, step_ns: int = 1_000_000) -> None:
        self._next, self._step = start_ns, step_ns
        self._lock = threading.Lock()

    def __call__(self) -> int:
        """The time now, in nanoseconds since the epoch."""
        with self._lock:
            now = self._next
            self._next += self._step
            return now
