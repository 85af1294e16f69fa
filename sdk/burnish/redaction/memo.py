"""Memory of texts that were looked at, without the texts.

A clean text is kept as a keyed hash; of a text in which something was found, the places and the
stand-ins are kept beside it. The size is bounded in bytes; the oldest entries go first.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from typing import NamedTuple


class Replacement(NamedTuple):
    """A place of a text and what stands in for it."""

    kind: str
    start: int
    end: int
    stand_in: str


_ENTRY, _EACH = 160, 200  # bytes of an entry, and of a replacement beside its text
_MOST = 4 << 20


class Memo:
    """Which replacements each text needs, by its hash.

    Args:
        most_bytes: Size that is not exceeded, about.
    """

    def __init__(self, most_bytes: int = _MOST) -> None:
        self.size = 0
        self._most = most_bytes
        self._key = os.urandom(16)
        self._known: OrderedDict[bytes, tuple[Replacement, ...]] = OrderedDict()
        self._lock = threading.RLock()

    def digest(self, text: str, purpose: bytes = b"text") -> bytes:
        """The hash under which a text is kept."""
        encoded = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(encoded, digest_size=16, key=self._key, person=purpose).digest()

    def get(self, digest: bytes) -> tuple[Replacement, ...] | None:
        """The replacements of a text; None if it is not known."""
        return self._known.get(digest)

    def put(self, digest: bytes, replacements: tuple[Replacement, ...]) -> None:
        """Keep the replacements of a text."""
        size = _size_of(replacements)
        if size > self._most // 8:
            return
        with self._lock:
            if digest in self._known:
                return
            self._known[digest] = replacements
            self.size += size
            while self.size > self._most:
                _, gone = self._known.popitem(last=False)
                self.size -= _size_of(gone)


def _size_of(replacements: tuple[Replacement, ...]) -> int:
    return _ENTRY + sum(_EACH + len(replacement.stand_in) for replacement in replacements)
