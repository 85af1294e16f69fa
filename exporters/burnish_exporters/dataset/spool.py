"""Rows on their way to a version, kept on disk so that a large set needs little memory.

Knows: where each run's rows begin. Does not know: which rows will be kept.
"""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import Self

import msgspec

from burnish_exporters.rows import Row

_LENGTH = struct.Struct(">Q")
_DECODER = msgspec.msgpack.Decoder(list[Row])


class Spool:
    """A temporary file of rows; gone when closed, also after a kill (it has no name).

    Args:
        folder: Folder on the disk where the version will be, so that there is room for it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def add(self, rows: list[Row]) -> int:
        """Store the rows of one run; returns the place to read them from."""
        payload = msgspec.msgpack.encode(rows)
        place = self._end
        self._file.seek(place)
        self._file.write(_LENGTH.pack(len(payload)) + payload)
        self._end += _LENGTH.size + len(payload)
        return place

    def read(self, place: int) -> list[Row]:
        """The rows that were stored at a place."""
        self._file.seek(place)
        size = _LENGTH.unpack(self._file.read(_LENGTH.size))[0]
        return _DECODER.decode(self._file.read(size))
