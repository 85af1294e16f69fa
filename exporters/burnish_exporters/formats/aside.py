"""Hold values in a temporary file, so that a format that must see all rows first needs little memory."""

from __future__ import annotations

import json
import tempfile
from typing import Any, Self

import msgspec

_IN_MEMORY = 4 << 20  # bytes; below this size no file is written


class Aside:
    """A temporary file without a name, deleted when closed. Places are numbers, so that many can be held in memory."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by __exit__
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def put(self, value: Any) -> int:
        """Store plain data or a record; return its place."""
        place = self._end
        self._file.seek(place)
        # Python's own JSON keeps whole numbers of any size, NaN, lone surrogates and the order of
        # keys.
        self._file.write(json.dumps(value, default=msgspec.to_builtins).encode("ascii") + b"\n")
        self._end = self._file.tell()
        return place

    def get(self, place: int, kind: Any = Any) -> Any:
        """Return the value at a place, as plain data or as a record of this kind."""
        self._file.seek(place)
        return msgspec.convert(json.loads(self._file.readline()), kind)
