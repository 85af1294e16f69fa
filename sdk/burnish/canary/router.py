"""Choose the target of an agent's next call: the pointer, sticky by thread, and counted.

`Router.choose` is the entry. The choice carries the stamp that the call is recorded with: the arm, and
during a rollout its phase and share, so that no clock decides which rollout a call belongs to. A thread keeps the arm of its first call while the share grows, so that no
conversation changes its model midway. After a rollback every next call is stable. Calls without a
thread are stable.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from burnish.adapters.pointer import Pointer, PointerReader, Target
from burnish.canary.assignment import Arm, choose_target, draw_position
from burnish.records import Json

_PINS = 100_000


class RoutingChoice(NamedTuple):
    """The target and arm of one call."""

    target: Target | None  # None: the user's own model, unchanged
    arm: Arm | Literal["holdback", "takeover"]
    rollout: str | None = None  # phase of the rollout that assigned the arm; None without one
    share: float | None = None  # probability of the candidate in that assignment

    @property
    def stamp(self) -> dict[str, Json]:
        """Return the fields to record with the call."""
        if self.rollout is None:
            return {"arm": self.arm}
        return {"arm": self.arm, "rollout": self.rollout, "share": self.share}


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
        self.counts = dict.fromkeys(("stable", "canary", "holdback", "no_thread", "takeover"), 0)

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
            choice = RoutingChoice(pointer.stable, "stable")
        elif pointer.canary is None:
            choice = _choose_after_promotion(pointer, thread_id)
        else:
            arm = self._find_pinned_arm(pointer, thread_id)
            target = pointer.canary if arm == "canary" else pointer.stable
            choice = RoutingChoice(target, arm, pointer.salt, pointer.share)
        if counted:
            self.count_call(choice, thread_id)
        return choice

    def count_call(self, choice: RoutingChoice, thread_id: str | None) -> None:
        """Count a call that starts with a choice."""
        self.counts["no_thread" if thread_id is None else choice.arm] += 1

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


def _choose_after_promotion(pointer: Pointer, thread_id: str) -> RoutingChoice:
    """Return the stable version, or the previous one for a thread of the hold-back."""
    if not pointer.holdback:
        return RoutingChoice(pointer.stable, "stable")
    share = 1.0 - pointer.holdback
    if draw_position(thread_id, pointer.salt) < share:
        return RoutingChoice(pointer.stable, "stable", pointer.salt, share)
    return RoutingChoice(pointer.previous, "holdback", pointer.salt, share)


@lru_cache(maxsize=256)
def _shared_router(home: Path, agent: str) -> Router:
    return Router(PointerReader(home, agent))
