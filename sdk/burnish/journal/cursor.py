"""How far an exporter has come in the journal of one process, kept on disk.

Knows: the cursor's file, and that only one shipper may move it.
Does not know: what is shipped, nor how.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import msgspec

from burnish.files.storage import FileLock, atomic_write, make_private_folder, read_regular


class Cursor(msgspec.Struct, kw_only=True):
    """Content of a cursor file; everything before `segment` and `offset` is done with."""

    segment: int = 0
    offset: int = 0
    floor: int = 0  # first segment that holds the beginning of something unfinished
    finished: bool = False  # the process is gone and all that it left was shipped
    delivered: int = 0
    refused: int = 0  # spans that the receiver would never take
    sampled_out: int = 0
    moved_ns: int = 0  # when it last came forward


def folder_of(home: Path) -> Path:
    """Folder of all cursors of a workspace."""
    return home / "exporters"


def path_of(home: Path, exporter: str, process: str) -> Path:
    """File of one cursor."""
    return folder_of(home) / f"{re.sub('[^A-Za-z0-9_-]', '_', exporter)}.{process}.cursor"


def read(path: Path) -> Cursor | None:
    """The cursor in a file; None without one, or where the file is broken."""
    try:
        return msgspec.json.decode(read_regular(path), type=Cursor)
    except (OSError, msgspec.MsgspecError):
        return None


class Claim:
    """The right to move one cursor; released when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """Claim a cursor.

        Raises:
            BlockingIOError: If another shipper holds it.
            OSError: If the folder cannot be written.
        """
        self.path = path
        make_private_folder(path.parent)
        self._lock = FileLock(path.with_suffix(".lock"))
        if not self._lock.acquire():
            raise BlockingIOError(f"{self._lock.path} is locked by another process")
        self.cursor = read(path) or Cursor()

    def save(self) -> None:
        """Write the cursor as it is now."""
        self.cursor.moved_ns = time.time_ns()
        atomic_write(self.path, msgspec.json.encode(self.cursor), durable=False)

    def release(self) -> None:
        """Let others move the cursor."""
        self._lock.release()
