"""The control document of an agent, and the moves from one state of a rollout to the next.

Knows: states, what each move does to targets and shares. Does not know: storage, evidence.

    STAGED -> LOADED -> CANARY -> PROMOTED | ROLLED_BACK
                          ^ v        v
                         PAUSED   ROLLED_BACK   (while the previous version is kept)

All moves are pure: a document in, a document out. Routers read some of its keys (`Pointer`).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Literal

import msgspec

from burnish.adapters.pointer import Target
from burnish.errors import CanaryError
from burnish.project import CanaryConfig
from burnish.records import Record

State = Literal["NONE", "STAGED", "LOADED", "CANARY", "PAUSED", "PROMOTED", "ROLLED_BACK"]

RUNNING: tuple[State, ...] = ("STAGED", "LOADED", "CANARY", "PAUSED")


class Event(Record, frozen=True, kw_only=True):
    """One move of a rollout."""

    at_ns: int
    state: State
    share: float  # probability of the canary from here on
    reason: str


class Retired(Record, frozen=True, kw_only=True):
    """A version that was in service and is to be given back by its backend."""

    target: Target
    at_ns: int


class Document(Record, frozen=True, kw_only=True):
    """Everything that is known of an agent's rollout, but for its threads."""

    state: State = "NONE"
    rollout: str = ""
    book: str = ""  # whose threads are judged now: the rollout's, or those of its hold-back
    candidate: Target | None = None
    forced: bool = False
    doubts: list[str] = msgspec.field(default_factory=list)  # why who decides may be wrong
    stable: Target | None = None
    canary: Target | None = None
    previous: Target | None = None
    share: float = 0.0
    holdback: float = 0.0
    salt: str = ""
    step: int = 0
    reason: str = ""
    events: list[Event] = msgspec.field(default_factory=list)
    config: CanaryConfig = msgspec.field(default_factory=CanaryConfig)
    retired: list[Retired] = msgspec.field(default_factory=list)

    @property
    def adapter(self) -> str | None:
        """The version on trial."""
        return self.candidate.adapter if self.candidate is not None else None

    @property
    def share_now(self) -> float:
        """Probability with which a thread that begins now meets the candidate."""
        return self.events[-1].share if self.events else 0.0

    @property
    def started_ns(self) -> int:
        """When the first thread could be put on the canary; 0 before."""
        return next((event.at_ns for event in self.events if event.share > 0), 0)

    def share_at(self, moment_ns: int) -> float:
        """Probability of the canary at a moment; 0 before the rollout."""
        share = 0.0
        for event in self.events:
            if event.at_ns > moment_ns:
                break
            share = event.share
        return share


def staged(
    document: Document,
    candidate: Target,
    config: CanaryConfig,
    *,
    forced: bool,
    doubts: Sequence[str] = (),
) -> Document:
    """A new rollout, without traffic yet.

    Raises:
        CanaryError: If another one runs, or the candidate serves already.
    """
    if document.state in RUNNING:
        if document.candidate == candidate and document.state in ("STAGED", "LOADED"):
            return document  # it was interrupted before its first step
        raise CanaryError(
            f"a rollout of {_name(document.candidate)} is {document.state}",
            "one that has ended",
            "burnish canary rollback, or burnish canary promote",
        )
    if document.stable == candidate:
        raise CanaryError(f"{_name(candidate)} serves already", "another version", "burnish canary")
    rollout = uuid.uuid4().hex[:16]
    fresh = Document(
        rollout=rollout,
        book=rollout,
        salt=rollout,
        candidate=candidate,
        forced=forced,
        doubts=list(doubts),
        stable=document.stable,
        config=config,
    )
    reason = "put forward past the gate" if forced else "passed the gate"
    return moved(fresh, "STAGED", 0.0, "; ".join([reason, *doubts]))


def loaded(document: Document, reason: str) -> Document:
    """The backend serves the candidate, without traffic yet."""
    return moved(document, "LOADED", 0.0, reason)


def stepped(document: Document, step: int, reason: str) -> Document:
    """Traffic up to the share of a step."""
    share = document.config.steps[step]
    document = msgspec.structs.replace(document, step=step, canary=document.candidate, share=share)
    return moved(document, "CANARY", share, reason)


def paused(document: Document, reason: str) -> Document:
    """No canary traffic, no decision."""
    return moved(msgspec.structs.replace(document, canary=None, share=0.0), "PAUSED", 0.0, reason)


def promoted(document: Document, reason: str, *, forced: bool = False) -> Document:
    """The candidate is stable; a hold-back stays on the previous version."""
    holdback = document.config.holdback
    document = msgspec.structs.replace(
        document,
        stable=document.candidate,
        previous=document.stable,
        canary=None,
        share=0.0,
        holdback=holdback,
        salt=f"{document.rollout}-holdback",
        book=f"{document.rollout}-holdback",
        forced=document.forced or forced,
    )
    return moved(document, "PROMOTED", 1.0 - holdback, reason)


def rolled_back(document: Document, reason: str) -> Document:
    """Everybody is on the version from before."""
    stable = document.previous if document.state == "PROMOTED" else document.stable
    document = msgspec.structs.replace(
        document, stable=stable, canary=None, previous=None, share=0.0, holdback=0.0
    )
    return moved(document, "ROLLED_BACK", 0.0, reason)


def with_retired(before: Document, after: Document) -> Document:
    """A document after a move, with the versions that the move took out of service."""
    kept = targets_of(after)
    old = [one for one in [*before.retired, *after.retired] if one.target not in kept]
    known = {one.target: one for one in reversed(old)}
    now_ns = time.time_ns()
    for target in targets_of(before):
        if target not in kept:
            known.setdefault(target, Retired(target=target, at_ns=now_ns))
    return msgspec.structs.replace(after, retired=list(known.values()))


def given_back(document: Document, targets: Sequence[Target]) -> Document:
    """A document without retired versions that their backends have unloaded."""
    kept = [one for one in document.retired if one.target not in targets]
    return msgspec.structs.replace(document, retired=kept)


def targets_of(document: Document) -> list[Target]:
    """The versions that a document wishes to be served, each once."""
    trial = document.candidate if document.state in RUNNING else None
    named = (document.stable, document.canary, document.previous, trial)
    return list(dict.fromkeys(target for target in named if target is not None and target.adapter))


def moved(document: Document, state: State, share: float, reason: str) -> Document:
    """A document in a new state, with the move in its history."""
    event = Event(at_ns=time.time_ns(), state=state, share=share, reason=reason)
    return msgspec.structs.replace(
        document, state=state, reason=reason, events=[*document.events, event]
    )


def _name(target: Target | None) -> str:
    return "nothing" if target is None else target.adapter or target.base_model
