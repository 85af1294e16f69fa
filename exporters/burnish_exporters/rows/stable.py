"""Canonical JSON of rows: the same bytes for the same data.

Knows: the encoding that hashes are made over. Does not know: what is hashed.

Unlike the journal's, it refuses what other readers of JSON could not read (lone surrogates, integers above 64 bits):
such a row is dropped and counted.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder(order="sorted")


def stable_json(value: Any) -> bytes:
    """Plain data as JSON with sorted keys and no spaces.

    Raises:
        UnicodeEncodeError: If a text holds a lone surrogate.
        OverflowError: If an integer does not fit 64 bits.
    """
    return _ENCODER.encode(value)


def digest(value: Any) -> str:
    """Hash of plain data, 32 hex digits."""
    return hashlib.blake2b(_ENCODER.encode(value), digest_size=16).hexdigest()
