"""Who answers the next call of an agent: the pointer, made sticky by thread, and counted.

Knows: the arm of each thread that was seen lately. Does not know: models and messages.

A thread keeps the arm of its first call while the share grows, so that no conversation changes
hands in the middle; after a rollback every next call is stable. Without a thread it is always
stable.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from burnish.adapters.pointer import Pointer, PointerReader, Target
from burnish.canary.assignment import Arm, choose

_PINS = 100_000


class Choice(NamedTuple):
    """Who answers one call."""

    target: Target | None  # None: the user's own model, as it is
    arm: Arm | Literal["takeover"]


class Router:
    """Chooses for one agent; one per process, shared by all its models.

    Args:
        reader: The pointer of the agent.
    """

    def __init__(self, reader: PointerReader) -> None:
        self._reader = reader
        self._salt = ""
        self._pins: dict[str, Arm] = {}
        self._lock = threading.Lock()
        self.counts = {"stable": 0, "canary": 0, "no_thread": 0, "takeover": 0}

    @classmethod
    def shared(cls, home: Path, agent: str) -> Router:
        """The router of an agent in this process."""
        return _shared(home, agent)

    @property
    def pointer(self) -> Pointer:
        """What is in force now."""
        return self._reader.read()

    def choose(self, thread_id: str | None, *, counted: bool = True) -> Choice:
        """Who answers a call of this thread that starts now."""
        pointer = self._reader.read()
        if thread_id is None:
            self.counts["no_thread"] += counted
            return Choice(pointer.stable, "stable")
        if pointer.canary is None:
            choice = Choice(*choose(pointer, thread_id))
        elif self._pinned(pointer, thread_id) == "canary":
            choice = Choice(pointer.canary, "canary")
        else:
            choice = Choice(pointer.stable, "stable")
        self.counts[choice.arm] += counted
        return choice

    def _pinned(self, pointer: Pointer, thread_id: str) -> Arm:
        """The arm of the thread's first call in this rollout."""
        if pointer.salt != self._salt:
            self._begin(pointer.salt)
        arm = self._pins.get(thread_id)
        if arm is None:
            arm = choose(pointer, thread_id)[1]
            self._pin(thread_id, arm)
        return arm

    def _begin(self, salt: str) -> None:
        with self._lock:
            self._pins, self._salt = {}, salt

    def _pin(self, thread_id: str, arm: Arm) -> None:
        pins = self._pins
        if len(pins) >= _PINS:
            with self._lock:
                for old in list(pins)[: _PINS // 10]:
                    pins.pop(old, None)
        pins[thread_id] = arm


@lru_cache(maxsize=256)
def _shared(home: Path, agent: str) -> Router:
    return Router(PointerReader(home, agent))
