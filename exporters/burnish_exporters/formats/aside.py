"""Values that wait in a file until their turn, so that a format which must see all rows first needs little memory.

Knows: where each value lies. Does not know: what they are, and in which order they are wanted.
"""

from __future__ import annotations

import pickle
import tempfile
from typing import Any, Self

_IN_MEMORY = 4 << 20  # bytes; with less than that there is no file


class Aside:
    """A temporary file without a name, gone when closed; places are numbers, so that many can be held."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by __exit__
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def put(self, value: Any) -> int:
        """Put a value aside; returns its place."""
        place = self._end
        self._file.seek(place)
        self._file.write(pickle.dumps(value, protocol=5))
        self._end = self._file.tell()
        return place

    def get(self, place: int) -> Any:
        """The value at a place."""
        self._file.seek(place)
        return pickle.load(self._file)  # noqa: S301 - written by put()
