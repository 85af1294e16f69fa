"""Choose the target of an agent's next call: the pointer, sticky by thread, and counted.

`Router.choose` is the entry. A thread keeps the arm of its first call while the share grows, so that no
conversation changes its model midway. After a rollback every next call is stable. Calls without a
thread are stable.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from burnish.adapters.pointer import Pointer, PointerReader, Target
from burnish.canary.assignment import Arm, choose_target

_PINS = 100_000


class RoutingChoice(NamedTuple):
    """The target and arm of one call."""

    target: Target | None  # None: the user's own model, unchanged
    arm: Arm | Literal["takeover"]


class Router:
    """Chooses targets for one agent; one per process, shared by all its models.

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
        """Return the router of an agent in this process."""
        return _shared_router(home, agent)

    @property
    def pointer(self) -> Pointer:
        """The current pointer."""
        return self._reader.read()

    def choose(self, thread_id: str | None, *, counted: bool = True) -> RoutingChoice:
        """Choose the target of a call of this thread that starts now."""
        pointer = self._reader.read()
        if thread_id is None:
            self.counts["no_thread"] += counted
            return RoutingChoice(pointer.stable, "stable")
        if pointer.canary is None:
            choice = RoutingChoice(*choose_target(pointer, thread_id))
        elif self._find_pinned_arm(pointer, thread_id) == "canary":
            choice = RoutingChoice(pointer.canary, "canary")
        else:
            choice = RoutingChoice(pointer.stable, "stable")
        self.counts[choice.arm] += counted
        return choice

    def _find_pinned_arm(self, pointer: Pointer, thread_id: str) -> Arm:
        """Return the arm of the thread's first call in this rollout."""
        if pointer.salt != self._salt:
            self._reset_pins(pointer.salt)
        arm = self._pins.get(thread_id)
        if arm is None:
            arm = choose_target(pointer, thread_id)[1]
            self._pin_thread(thread_id, arm)
        return arm

    def _reset_pins(self, salt: str) -> None:
        with self._lock:
            self._pins, self._salt = {}, salt

    def _pin_thread(self, thread_id: str, arm: Arm) -> None:
        pins = self._pins
        if len(pins) >= _PINS:
            with self._lock:
                for old in list(pins)[: _PINS // 10]:
                    pins.pop(old, None)
        pins[thread_id] = arm


@lru_cache(maxsize=256)
def _shared_router(home: Path, agent: str) -> Router:
    return Router(PointerReader(home, agent))
