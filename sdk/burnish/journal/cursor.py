"""Keep the position of an exporter in the journal of one process on disk.

`Claim` holds the right to move a cursor: one shipper at a time moves it.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import msgspec

from burnish.files.storage import (
    BROKEN_JSON,
    FileLock,
    atomic_write,
    make_private_folder,
    read_regular,
)


class Cursor(msgspec.Struct, kw_only=True):
    """Content of a cursor file; everything before `segment` and `offset` is shipped."""

    segment: int = 0
    offset: int = 0
    floor: int = 0  # first segment that holds the beginning of an unfinished span
    finished: bool = False  # the process has ended and everything it wrote is shipped
    delivered: int = 0
    refused: int = 0  # spans that the receiver rejects permanently
    sampled_out: int = 0
    moved_ns: int = 0  # time of the last advance


def folder_of(home: Path) -> Path:
    """Return the folder of all cursors of a workspace."""
    return home / "exporters"


def path_of(home: Path, exporter: str, process: str) -> Path:
    """Return the file of one cursor."""
    return folder_of(home) / f"{re.sub('[^A-Za-z0-9_-]', '_', exporter)}.{process}.cursor"


def read(path: Path) -> Cursor | None:
    """Read a cursor; return None if the file is missing or damaged."""
    try:
        return msgspec.json.decode(read_regular(path), type=Cursor)
    except (OSError, *BROKEN_JSON):
        return None


class Claim:
    """The right to move one cursor; released when the process ends, even if it is killed."""

    def __init__(self, path: Path) -> None:
        """Claim a cursor.

        Raises:
            BlockingIOError: If another shipper holds the claim.
            OSError: If the folder cannot be written.
        """
        self.path = path
        make_private_folder(path.parent)
        self._lock = FileLock(path.with_suffix(".lock"))
        if not self._lock.acquire():
            raise BlockingIOError(f"{self._lock.path} is locked by another process")
        self.cursor = read(path) or Cursor()

    def save(self) -> None:
        """Write the current state of the cursor."""
        self.cursor.moved_ns = time.time_ns()
        atomic_write(self.path, msgspec.json.encode(self.cursor), durable=False)

    def release(self) -> None:
        """Release the claim."""
        self._lock.release()
