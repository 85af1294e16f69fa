"""Rows on their way to a version, kept on disk so that a large set needs little memory.

Knows: where each run's rows begin. Does not know: which rows will be kept.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Self

import msgspec

Columns = dict[str, Any]

_DECODER = msgspec.msgpack.Decoder(list[Columns])


class Spool:
    """A temporary file of rows as their columns; gone when closed, also after a kill (it has no name).

    Args:
        folder: Folder on the disk where the version will be, so that there is room for it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._end = self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def add(self, rows: list[Columns]) -> tuple[int, int]:
        """Store the rows of one run; returns the place and size to read them by."""
        payload = msgspec.msgpack.encode(rows)
        place = self._end, len(payload)
        self._file.write(payload)
        self._end += len(payload)
        return place

    def read(self, place: tuple[int, int]) -> list[Columns]:
        """The rows that were stored at a place."""
        if self._written < self._end:
            self._file.flush()
            self._written = self._end
        start, size = place
        return _DECODER.decode(os.pread(self._file.fileno(), size, start))
