"""Draw ids of trajectories, spans and runs.

They come from a separate generator, seeded by the system once per process: a system call for each
id would be slow, and the agent's own `random.seed()` must not make two ids equal.
"""

from __future__ import annotations

import random
import uuid

from burnish.files import platform

_random = random.Random()  # noqa: S311 - names, not secrets
_VERSION = 0xF << 76
_VARIANT = 0x3 << 62


def new_id(size: int) -> str:
    """Return a random id of `size` bytes in hex."""
    return f"{_random.getrandbits(8 * size):0{2 * size}x}"


def new_key() -> int:
    """Return a random UUID of version 4 as an integer, a key of the registry."""
    return _random.getrandbits(128) & ~(_VERSION | _VARIANT) | 4 << 76 | 2 << 62


def new_uuid() -> uuid.UUID:
    """Return a random UUID of version 4."""
    return uuid.UUID(int=new_key())


platform.after_fork_in_child(_random.seed)
