"""Keep rows on disk until their version is written, so that a large set needs little memory."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Self

import msgspec

from burnish_exporters.dataset.version_folder import make_version_folder
from burnish_exporters.rows.canonical_json import ordered_json

Columns = dict[str, Any]

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[Columns])


def pack_rows(rows: list[Columns]) -> bytes:
    """Encode the rows of one run for the spool."""
    return _ENCODER.encode(rows)


class Spool:
    """A temporary file of rows as columns. It has no name, so it disappears when it is closed and after a kill.

    Args:
        folder: Folder on the disk of the version, which has room for it.
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
        """Append encoded rows and return where they begin."""
        start = self._end
        self._file.write(payload)
        self._end += len(payload)
        return start

    def read(self, place: tuple[int, int]) -> list[Columns]:
        """Return the rows of one run, by their place and size."""
        if self._written < self._end:
            self._file.flush()
            self._written = self._end
        start, size = place
        return _DECODER.decode(os.pread(self._file.fileno(), size, start))


def mute_calls(rows: list[Columns], quiet: Collection[int]) -> Iterator[Columns]:
    """Yield rows without loss on the turns that only make these calls.

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
