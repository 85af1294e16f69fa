"""Read an archive of segments: Parquet files on any fsspec URL, without the workspace that they came from."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from burnish.errors import ExportError
from burnish.records import Span, Trajectory


class ArchiveSource:
    """Yields the spans of all segments that `burnish archive` wrote to a URL.

    A damaged file is skipped and counted in `skipped`.

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
            ExportError: If the URL holds no archived segment.
        """
        from burnish.workspace import Workspace

        with self._written_out() as home:
            yield from Workspace(home).spans(since_ns)

    def trajectories(self, agent: str | None = None) -> Iterator[Trajectory]:
        """Yield assembled trajectories, of one agent or of all, one at a time.

        Raises:
            JournalError: If the URL cannot be reached.
            ExportError: If the URL holds no archived segment.
        """
        from burnish.workspace import Workspace

        with self._written_out() as home:
            yield from Workspace(home).trajectories(agent=agent)

    @contextmanager
    def _written_out(self) -> Generator[Path]:
        """Write the archived segments to a temporary home folder, for as long as it is read."""
        from burnish.journal.lifecycle.archiving import copy_back

        with tempfile.TemporaryDirectory(prefix="burnish-archive-") as folder:
            home = Path(folder)
            written, self.skipped = copy_back(self.url, home)
            if not written + self.skipped:
                raise ExportError(
                    f"no archived segment at {self.url}",
                    "the URL that `burnish archive` wrote to",
                    "burnish archive --help",
                )
            yield home
