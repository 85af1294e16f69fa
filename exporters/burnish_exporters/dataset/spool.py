"""Rows on their way to a version, kept on disk so that a large set needs little memory.

Knows: where each run's rows begin. Does not know: which rows will be kept.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Self

import msgspec

from burnish_exporters.dataset.publish import make_version_folder
from burnish_exporters.rows.stable import ordered_json

Columns = dict[str, Any]

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[Columns])


def packed(rows: list[Columns]) -> bytes:
    """The rows of one run as the spool holds them."""
    return _ENCODER.encode(rows)


class Spool:
    """A temporary file of rows as their columns; gone when closed, also after a kill (it has no name).

    Args:
        folder: Folder on the disk where the version will be, so that there is room for it.
    """

    def __init__(self, folder: Path) -> None:
        make_version_folder(folder)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._end = self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def append(self, payload: bytes) -> int:
        """Store packed rows of some runs one behind the other; returns where they begin."""
        start = self._end
        self._file.write(payload)
        self._end += len(payload)
        return start

    def read(self, place: tuple[int, int]) -> list[Columns]:
        """The rows of one run, by their place and size."""
        if self._written < self._end:
            self._file.flush()
            self._written = self._end
        start, size = place
        return _DECODER.decode(os.pread(self._file.fileno(), size, start))


def quieted(rows: list[Columns], quiet: Collection[int]) -> Iterator[Columns]:
    """Rows without loss on the turns that only make these calls.

    Args:
        rows: The rows of one run.
        quiet: Places of calls, counted through all rows.
    """
    place = 0
    for row in rows:
        messages = json.loads(row["messages"])
        for message in messages:
            calls = range(place, place + len(message.get("tool_calls") or ()))
            place = calls.stop
            if calls and all(call in quiet for call in calls):
                message["loss"] = False
        yield {**row, "messages": ordered_json(messages).decode()}
