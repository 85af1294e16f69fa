"""Assign threads to the canary: a pure function of thread, salt and share.

Monotone: a thread on the canary stays there when the share grows. Independent: another salt draws
another set. Stable: the same result in every process, on every host, for ever.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

from burnish.adapters.pointer import Pointer, Target

Arm = Literal["stable", "canary"]

_UNIT = 2.0**-53


def draw_position(thread_id: str, salt: str) -> float:
    """Hash a thread to a number between 0 and 1 under a salt."""
    digest = blake2b(
        thread_id.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode()[:64]
    ).digest()
    return (int.from_bytes(digest, "big") >> 11) * _UNIT  # the bits that a float can hold


def assign(thread_id: str, salt: str, share: float) -> bool:
    """Return True if the thread belongs to the canary's share.

    Args:
        thread_id: The conversation.
        salt: Salt of the rollout, at most 64 bytes; each rollout draws another set.
        share: Share of all threads, 0 to 1.
    """
    return draw_position(thread_id, salt) < share


def choose_target(pointer: Pointer, thread_id: str | None) -> tuple[Target | None, Arm]:
    """Return the target and arm of a thread; without a thread id it is stable."""
    if thread_id is None or not (pointer.share or pointer.holdback):
        return pointer.stable, "stable"
    place = draw_position(thread_id, pointer.salt)
    if place < pointer.share:
        return pointer.canary, "canary"
    if place >= 1.0 - pointer.holdback:
        return pointer.previous, "stable"
    return pointer.stable, "stable"
