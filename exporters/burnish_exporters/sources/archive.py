"""An archive of segments as a source of spans: Parquet files on any fsspec URL, without the workspace they came from.

Knows: that archived segments can be written out again and read like a journal. Does not know: what spans mean.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from burnish.errors import ExportError
from burnish.records import Span, Trajectory


class ArchiveSource:
    """Spans of all segments that `burnish archive` put under a URL; a damaged file is skipped and counted in `skipped`.

    Args:
        url: Folder on any fsspec URL.
    """

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        self.skipped = 0

    def spans(self, since_ns: int | None = None) -> Iterator[Span]:
        """Yield spans of all trajectories that started at or after `since_ns`, facts included.

        Raises:
            JournalError: If the URL cannot be reached.
            ExportError: If nothing was archived there.
        """
        from burnish.workspace import Workspace

        with self._written_out() as home:
            yield from Workspace(home).spans(since_ns)

    def trajectories(self, agent: str | None = None) -> Iterator[Trajectory]:
        """Yield assembled trajectories, of one agent or of all, one at a time.

        Raises:
            JournalError: If the URL cannot be reached.
            ExportError: If nothing was archived there.
        """
        from burnish.workspace import Workspace

        with self._written_out() as home:
            yield from Workspace(home).trajectories(agent=agent)

    @contextmanager
    def _written_out(self) -> Iterator[Path]:
        """A home folder that holds the archived segments, for as long as it is read."""
        from burnish.journal.archive import copy_back

        with tempfile.TemporaryDirectory(prefix="burnish-archive-") as folder:
            home = Path(folder)
            written, self.skipped = copy_back(self.url, home)
            if not written + self.skipped:
                raise ExportError(
                    f"no archived segment at {self.url}",
                    "the URL that was given to burnish archive",
                    "burnish archive --help",
                )
            yield home
