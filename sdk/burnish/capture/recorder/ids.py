"""Ids of trajectories, spans and runs. Knows: how they are drawn. Does not know: what they name.

They come from a generator of our own, seeded by the system once per process: asking the system for
each would be a call into the kernel, and the agent's own `random.seed()` must not make two alike.
"""

from __future__ import annotations

import random
import uuid

from burnish.files import platform

_random = random.Random()  # noqa: S311 - names, no secrets
_VERSION = 0xF << 76
_VARIANT = 0x3 << 62


def new_id(size: int) -> str:
    """A random id of `size` bytes in hex."""
    return f"{_random.getrandbits(8 * size):0{2 * size}x}"


def new_key() -> int:
    """A random UUID of version 4, as the integer that names it in the registry."""
    return _random.getrandbits(128) & ~(_VERSION | _VARIANT) | 4 << 76 | 2 << 62


def new_uuid() -> uuid.UUID:
    """A random UUID of version 4."""
    return uuid.UUID(int=new_key())


platform.after_fork_in_child(_random.seed)
