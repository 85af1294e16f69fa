"""Who of the threads goes to the canary: a pure function of thread, salt and share.

Knows: the hash and what it promises. Does not know: rollouts, models, outcomes.

Monotone: a thread that is on the canary stays there when the share grows. Independent: another
salt draws another set. Stable: the same in every process, on every host, for ever.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

from burnish.adapters.pointer import Pointer, Target

Arm = Literal["stable", "canary"]

_UNIT = 2.0**-53


def position(thread_id: str, salt: str) -> float:
    """Where the thread lies between 0 and 1 under this salt."""
    digest = blake2b(
        thread_id.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode()[:64]
    ).digest()
    return (int.from_bytes(digest, "big") >> 11) * _UNIT  # the bits that a float can hold


def assign(thread_id: str, salt: str, share: float) -> bool:
    """Whether the thread belongs to the canary's share.

    Args:
        thread_id: The conversation.
        salt: Name of the rollout, at most 64 bytes; a new rollout draws anew.
        share: Share of all threads, 0 to 1.
    """
    return position(thread_id, salt) < share


def choose(pointer: Pointer, thread_id: str | None) -> tuple[Target | None, Arm]:
    """Who answers a thread, and as which arm; without a thread it is always stable."""
    if thread_id is None or not (pointer.share or pointer.holdback):
        return pointer.stable, "stable"
    place = position(thread_id, pointer.salt)
    if place < pointer.share:
        return pointer.canary, "canary"
    if place >= 1.0 - pointer.holdback:
        return pointer.previous, "stable"
    return pointer.stable, "stable"
