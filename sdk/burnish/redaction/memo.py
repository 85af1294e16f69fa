"""Cache the redactions of texts without the texts.

A clean text is cached as a keyed hash; a text with findings is cached with their places and
pseudonyms. The size is bounded in bytes; the oldest entries are removed first.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from typing import Literal, NamedTuple


class Replacement(NamedTuple):
    """A place in a text and its replacement."""

    kind: str
    start: int
    end: int
    stand_in: str


_ENTRY, _EACH = 160, 200  # bytes of an entry, and of a replacement besides its text
_MOST = 4 << 20


class Memo:
    """The replacements that each text needs, by its hash.

    Args:
        most_bytes: Approximate upper limit of the size.
    """

    def __init__(self, most_bytes: int = _MOST) -> None:
        self.size = 0
        self._most = most_bytes
        key = os.urandom(16)
        self._hashes = {
            purpose: hashlib.blake2b(digest_size=16, key=key, person=purpose)
            for purpose in (b"text", b"json")
        }  # never updated, only copied: a copy costs half of a new keyed hash
        self._known: OrderedDict[bytes, tuple[Replacement, ...]] = OrderedDict()
        self._lock = threading.RLock()

    def digest(self, text: str, purpose: Literal[b"text", b"json"] = b"text") -> bytes:
        """Return the hash that identifies a text."""
        keyed = self._hashes[purpose].copy()
        keyed.update(text.encode("utf-8", "surrogatepass"))
        return keyed.digest()

    def get(self, digest: bytes) -> tuple[Replacement, ...] | None:
        """Return the replacements of a text; None if it is not cached."""
        return self._known.get(digest)

    def put(self, digest: bytes, replacements: tuple[Replacement, ...]) -> None:
        """Cache the replacements of a text."""
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
    if not replacements:
        return _ENTRY
    return _ENTRY + sum(_EACH + len(replacement.stand_in) for replacement in replacements)
