"""Write the faults of this process to the journal, where `burnish doctor` reads them.

`tell` is the entry; `faults` counts them.
"""

from __future__ import annotations

from burnish.capture import faults
from burnish.capture.content.redaction_door import door
from burnish.capture.content.shared_content import Content
from burnish.capture.recorder import sink
from burnish.capture.recorder.facts import losses_event

PREFIX = "fault "
"""Prefix of the kind of each count, which distinguishes it from losses of a trajectory."""


def tell() -> None:
    """Write the faults since the last call; if that fails, the next call writes them."""
    if not faults.has_news():
        return
    news = faults.untold()
    counts = {f"{PREFIX}{kind}": count for kind, count in news.items()}
    try:
        sink.journal().append(losses_event(counts, Content({}, door())))
    except Exception:  # noqa: BLE001 - it was counted and logged when it first happened
        return
    faults.told(news)
