"""What went wrong in this process is told to the journal, where `burnish doctor` finds it.

Knows: when something new is to be told. Does not know: what it means, how it happened (faults.py).
"""

from __future__ import annotations

import time

from burnish.capture import faults, sink
from burnish.journal.events import Dropped

PREFIX = "fault "
"""Before the kind of each count, to tell them from what a trajectory lost."""


def tell() -> None:
    """Write down what has gone wrong since the last time; where that fails, next time."""
    if not faults.has_news():
        return
    news = faults.untold()
    counts = {f"{PREFIX}{kind}": count for kind, count in news.items()}
    try:
        sink.journal().append(Dropped(at=time.time_ns(), counts=counts))
    except Exception:  # noqa: BLE001 - it was counted and said when it first happened
        return
    faults.told(news)
