"""The journal of a workspace as a source of spans.

Knows: that frames become spans by projection. Does not know: what spans mean together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from burnish.records import Span


class JournalSource:
    """Spans of everything that was captured into one home folder.

    Args:
        home: Folder of the workspace, the one that holds `journal/`.
    """

    def __init__(self, home: Path | str) -> None:
        self.home = Path(home)

    def spans(self, since_ns: int | None = None) -> Iterator[Span]:
        """Yield spans that started at or after `since_ns`; damaged frames are skipped and counted."""
        from burnish.journal.reader import read_events
        from burnish.telemetry.projection import project

        for span in project(read_events(self.home)):
            if since_ns is None or span.start_ns >= since_ns:
                yield span
