"""What agents send in every run alike: system messages, tool lists, parameters.

Knows: how much of it a process holds. Does not know: how it is encoded (content.py).
"""

from __future__ import annotations

from typing import Generic, TypeVar

_T = TypeVar("_T")
_MOST_BYTES = 2 * 1024 * 1024
_COPIES = 3  # a fingerprint, what was made of it, and what surrounds both


class Recurring(Generic[_T]):
    """What was encoded once for all runs of this process, by the fingerprint of what was given.

    Args:
        most_bytes: How much is held, as if each character were a byte; past that all is let go of.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._held: dict[bytes | tuple[str, bytes], _T] = {}
        self._bytes = 0

    def get(self, fingerprint: bytes | tuple[str, bytes]) -> _T | None:
        """What was made before."""
        return self._held.get(fingerprint)

    def keep(self, fingerprint: bytes | tuple[str, bytes], made: _T) -> None:
        """Hold what was made."""
        parts = (fingerprint,) if isinstance(fingerprint, bytes) else fingerprint
        size = _COPIES * sum(map(len, parts))
        if self._bytes + size > self._most_bytes:
            self._held.clear()
            self._bytes = 0
        if size <= self._most_bytes:
            self._held[fingerprint] = made
            self._bytes += size
