"""What went wrong in this process is told to the journal, where `burnish doctor` finds it.

Knows: when something new is to be told. Does not know: what it means, how it happened (faults.py).
"""

from __future__ import annotations

from burnish.capture import faults
from burnish.capture.content.redaction_door import door
from burnish.capture.content.shared_content import Content
from burnish.capture.recorder import sink
from burnish.capture.recorder.facts import losses_event

PREFIX = "fault "
"""Before the kind of each count, to tell them from what a trajectory lost."""


def tell() -> None:
    """Write down what has gone wrong since the last time; where that fails, next time."""
    if not faults.has_news():
        return
    news = faults.untold()
    counts = {f"{PREFIX}{kind}": count for kind, count in news.items()}
    try:
        sink.journal().append(losses_event(counts, Content({}, door())))
    except Exception:  # noqa: BLE001 - it was counted and said when it first happened
        return
    faults.told(news)
