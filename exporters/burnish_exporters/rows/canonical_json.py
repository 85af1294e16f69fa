"""Encode rows as JSON: the same bytes for the same data, and the order of keys where a model reads them.

`stable_json` sorts keys, for hashes and comparisons; `ordered_json` keeps them, for storage. Both
write integers of any size and refuse lone surrogates, which other JSON readers reject: such a row
is dropped and counted.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec

_SORTED = msgspec.json.Encoder(order="sorted")
_ORDERED = msgspec.json.Encoder()


def stable_json(value: Any) -> bytes:
    """Encode plain data as JSON with sorted keys and no spaces.

    Raises:
        UnicodeEncodeError: If a text holds a lone surrogate.
    """
    try:
        return _SORTED.encode(value)
    except OverflowError:
        return _encode_large_integers(value, sort_keys=True)


def ordered_json(value: Any) -> bytes:
    """Encode plain data as JSON with its keys in their own order and no spaces.

    Raises:
        UnicodeEncodeError: If a text holds a lone surrogate.
    """
    try:
        return _ORDERED.encode(value)
    except OverflowError:
        return _encode_large_integers(value, sort_keys=False)


def hash_json(value: Any) -> str:
    """Hash plain data; 32 hex digits."""
    return hashlib.blake2b(stable_json(value), digest_size=16).hexdigest()


def _encode_large_integers(value: Any, *, sort_keys: bool) -> bytes:
    plain = msgspec.to_builtins(value, str_keys=True)
    text = json.dumps(plain, sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False)
    return text.encode()
