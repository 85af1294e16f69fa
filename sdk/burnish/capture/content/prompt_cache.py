"""Cache the encoding of data that recurs in every run: system messages, tool lists, parameters.

`Recurring` bounds the size; `shared_content` encodes.
"""

from __future__ import annotations

from typing import Generic, TypeVar

_T = TypeVar("_T")
_MOST_BYTES = 2 * 1024 * 1024
_COPIES = 3  # a fingerprint, the encoded value, and the overhead of both


class Recurring(Generic[_T]):
    """Encoded values for all runs of this process, by the fingerprint of their source.

    Args:
        most_bytes: Limit of the size, counting each character as a byte; above it the cache is
            cleared.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._held: dict[bytes | tuple[str, bytes], _T] = {}
        self._bytes = 0

    def get(self, fingerprint: bytes | tuple[str, bytes]) -> _T | None:
        """Return the cached value."""
        return self._held.get(fingerprint)

    def keep(self, fingerprint: bytes | tuple[str, bytes], made: _T) -> None:
        """Cache a value."""
        parts = (fingerprint,) if isinstance(fingerprint, bytes) else fingerprint
        size = _COPIES * sum(map(len, parts))
        if self._bytes + size > self._most_bytes:
            self._held.clear()
            self._bytes = 0
        if size <= self._most_bytes:
            self._held[fingerprint] = made
            self._bytes += size
