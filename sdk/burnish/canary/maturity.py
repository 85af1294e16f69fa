"""Learn the time to wait for the outcome of a thread from the delays of the stable arm.

`learn_window` is the entry. A comparison of threads with pending outcomes favours the arm or
the outcome that is reported sooner, so a thread is compared once its window has passed.
"""

# How it works: the window is twice the delay within which 95 % of the outcomes arrived. Only threads
# older than the window count, because the slow outcomes of younger ones are not known yet. The window
# grows until it fits the threads that are older than itself.

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from burnish.records import Record

MIN_OUTCOMES = 20
SHARE_IN_TIME = 0.95
LEEWAY = 2.0
FLOOR_S = 60.0  # shortest window that is learnt: a slower version must not miss it


class LearnedWindow(Record, frozen=True, kw_only=True):
    """A maturity window and the outcomes that it was learnt from."""

    seconds: float
    outcomes: int
    missing: float  # share of the threads older than the window that have no outcome

    @property
    def basis(self) -> str:
        """Describe the data that the window was learnt from."""
        return (
            f"learnt from {self.outcomes} outcomes of stable, {SHARE_IN_TIME:.0%} of them within "
            f"{self.seconds / LEEWAY:.3g} s; {self.missing:.0%} are missing"
        )


def learn_window(threads: Iterable[tuple[float, float | None]]) -> LearnedWindow | None:
    """Learn the window from threads of the stable arm; None if too few outcomes are known.

    Args:
        threads: Age of each thread, and the delay of its outcome or None, in seconds.
    """
    old = list(threads)
    seconds = 0.0
    while True:
        old = [(age, delay) for age, delay in old if age >= seconds]
        delays = sorted(delay for _, delay in old if delay is not None)
        if len(delays) < MIN_OUTCOMES:
            return None
        fitting = LEEWAY * delays[ceil(SHARE_IN_TIME * len(delays)) - 1]
        if fitting <= seconds:
            return LearnedWindow(
                seconds=seconds, outcomes=len(delays), missing=1 - len(delays) / len(old)
            )
        seconds = fitting
