"""Define the control document of an agent, and the moves between the states of a rollout.

    STAGED -> LOADED -> CANARY -> PROMOTED | ROLLED_BACK
                          ^ v        v
                         PAUSED   ROLLED_BACK   (while the previous version is kept)

All moves are pure functions from document to document. Routers read some of its keys (`Pointer`).
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


class RolloutEvent(Record, frozen=True, kw_only=True):
    """One move of a rollout."""

    at_ns: int
    state: State
    share: float  # probability of the canary from this move on
    reason: str


class RetiredTarget(Record, frozen=True, kw_only=True):
    """A version that was in service and that its backend should unload."""

    target: Target
    at_ns: int


class RolloutDocument(Record, frozen=True, kw_only=True):
    """The state of an agent's rollout, except for its threads."""

    state: State = "NONE"
    rollout: str = ""
    phase_id: str = msgspec.field(
        default="", name="book"
    )  # the phase whose threads are judged: the rollout, or its hold-back
    canary_phase: str = ""  # the phase whose evidence promoted the version
    candidate: Target | None = None
    forced: bool = False
    doubts: list[str] = msgspec.field(
        default_factory=list
    )  # why the deciding source may be unreliable
    stable: Target | None = None
    canary: Target | None = None
    previous: Target | None = None
    share: float = 0.0
    holdback: float = 0.0
    salt: str = ""
    step: int = 0
    reason: str = ""
    stamped: bool = (
        False  # calls carry the rollout that assigned them; earlier versions compared clocks
    )
    window_s: float | None = None  # learnt maturity window
    window_basis: str = ""  # data that it was learnt from
    events: list[RolloutEvent] = msgspec.field(default_factory=list)
    config: CanaryConfig = msgspec.field(default_factory=CanaryConfig)
    retired: list[RetiredTarget] = msgspec.field(default_factory=list)

    @property
    def adapter(self) -> str | None:
        """The adapter version of the candidate."""
        return self.candidate.adapter if self.candidate is not None else None

    @property
    def prompt(self) -> str | None:
        """The prompt version of the candidate."""
        return self.candidate.prompt if self.candidate is not None else None

    @property
    def maturity_s(self) -> float | None:
        """The maturity window, set or learnt; None if neither."""
        return self.window_s if self.config.maturity_s is None else self.config.maturity_s

    @property
    def share_now(self) -> float:
        """Probability that a thread starting now is answered by the candidate."""
        return self.events[-1].share if self.events else 0.0

    @property
    def started_ns(self) -> int:
        """Time of the first canary traffic; 0 before."""
        return next((event.at_ns for event in self.events if event.share > 0), 0)

    def share_at(self, moment_ns: int) -> float:
        """Return the probability of the canary at a time; 0 before the rollout."""
        share = 0.0
        for event in self.events:
            if event.at_ns > moment_ns:
                break
            share = event.share
        return share


def stage_candidate(
    document: RolloutDocument,
    candidate: Target,
    config: CanaryConfig,
    *,
    forced: bool,
    doubts: Sequence[str] = (),
    window: tuple[float | None, str] = (None, ""),
) -> RolloutDocument:
    """Start a new rollout, without traffic.

    Args:
        document: The document so far.
        candidate: The version to roll out.
        config: Settings of the canary.
        forced: The version did not pass the gate.
        doubts: Why the deciding source may be unreliable.
        window: The maturity window that was learnt, and what from.

    Raises:
        CanaryError: If another rollout runs, or the candidate already serves.
    """
    if document.state in RUNNING:
        if document.candidate == candidate and document.state in ("STAGED", "LOADED"):
            return document  # interrupted before its first step
        raise CanaryError(
            f"a rollout of {name_target(document.candidate)} is {document.state}",
            "a rollout that has ended",
            "burnish canary rollback, or burnish canary promote",
        )
    if document.stable == candidate:
        raise CanaryError(
            f"{name_target(candidate)} already serves", "another version", "burnish canary"
        )
    rollout = draw_salt()
    fresh = RolloutDocument(
        rollout=rollout,
        phase_id=rollout,
        salt=rollout,
        candidate=candidate,
        forced=forced,
        doubts=list(doubts),
        stable=document.stable,
        config=config,
        stamped=True,
        window_s=window[0],
        window_basis=window[1],
    )
    reason = "put forward past the gate" if forced else "passed the gate"
    return record_move(fresh, "STAGED", 0.0, "; ".join([reason, *doubts]))


def draw_salt() -> str:
    """Draw the id of a rollout, which salts its assignment: another rollout divides the threads otherwise."""
    return uuid.uuid4().hex[:16]


def mark_loaded(document: RolloutDocument) -> RolloutDocument:
    """Record that the backend serves the candidate and answered the probe, without traffic."""
    return record_move(document, "LOADED", 0.0, "served and proven")


def take_step(document: RolloutDocument, step: int, reason: str) -> RolloutDocument:
    """Send traffic up to the share of a step."""
    share = document.config.steps[step]
    document = msgspec.structs.replace(document, step=step, canary=document.candidate, share=share)
    return record_move(document, "CANARY", share, reason)


def restart_phase(document: RolloutDocument) -> RolloutDocument:
    """Begin a new phase, with a new draw of threads and without the evidence so far."""
    phase_id = f"{document.rollout}-{len(document.events)}"
    return msgspec.structs.replace(document, phase_id=phase_id, salt=phase_id)


def keep_window(document: RolloutDocument, window_s: float, basis: str) -> RolloutDocument:
    """Keep a maturity window that was learnt during the rollout."""
    return msgspec.structs.replace(document, window_s=window_s, window_basis=basis)


def pause_rollout(document: RolloutDocument, reason: str) -> RolloutDocument:
    """Stop canary traffic without a decision."""
    return record_move(
        msgspec.structs.replace(document, canary=None, share=0.0), "PAUSED", 0.0, reason
    )


def promote_candidate(
    document: RolloutDocument, reason: str, *, forced: bool = False
) -> RolloutDocument:
    """Make the candidate stable; a hold-back of threads stays on the previous version."""
    holdback = document.config.holdback
    document = msgspec.structs.replace(
        document,
        stable=document.candidate,
        previous=document.stable,
        canary=None,
        share=0.0,
        holdback=holdback,
        salt=f"{document.rollout}-holdback",
        phase_id=f"{document.rollout}-holdback",
        canary_phase=document.phase_id,
        forced=document.forced or forced,
    )
    return record_move(document, "PROMOTED", 1.0 - holdback, reason)


def find_canary_phase(document: RolloutDocument) -> str:
    """Return the newest phase of the canary, also after the promotion; after a restart it is not the first."""
    return document.canary_phase or document.phase_id.removesuffix("-holdback")


def view_canary_phase(document: RolloutDocument) -> RolloutDocument | None:
    """Return a promoted document as it was in its canary, so that outcomes of those threads still count.

    None if nothing was promoted, or by an earlier version of burnish, whose calls may carry no phase.
    """
    if document.state != "PROMOTED" or not document.canary_phase or not document.stamped:
        return None
    return msgspec.structs.replace(document, state="CANARY", phase_id=document.canary_phase)


def roll_back(document: RolloutDocument, reason: str) -> RolloutDocument:
    """Put all threads back on the previous version."""
    stable = document.previous if document.state == "PROMOTED" else document.stable
    document = msgspec.structs.replace(
        document, stable=stable, canary=None, previous=None, share=0.0, holdback=0.0
    )
    return record_move(document, "ROLLED_BACK", 0.0, reason)


def retire_targets(before: RolloutDocument, after: RolloutDocument) -> RolloutDocument:
    """Add the versions that a move took out of service to the document after it."""
    kept = list_targets(after)
    old = [one for one in [*before.retired, *after.retired] if one.target not in kept]
    known = {one.target: one for one in reversed(old)}
    now_ns = time.time_ns()
    for target in list_targets(before):
        if target not in kept:
            known.setdefault(target, RetiredTarget(target=target, at_ns=now_ns))
    return msgspec.structs.replace(after, retired=list(known.values()))


def remove_retired(document: RolloutDocument, targets: Sequence[Target]) -> RolloutDocument:
    """Remove retired versions that their backends have unloaded."""
    kept = [one for one in document.retired if one.target not in targets]
    return msgspec.structs.replace(document, retired=kept)


def list_targets(document: RolloutDocument) -> list[Target]:
    """List the versions that a document needs in service at their backends, each once, whatever their prompts."""
    trial = document.candidate if document.state in RUNNING else None
    named = (document.stable, document.canary, document.previous, trial)
    served = (target.without_prompt() for target in named if target is not None and target.adapter)
    return list(dict.fromkeys(served))


def list_new_events(before: RolloutDocument, after: RolloutDocument) -> list[RolloutEvent]:
    """List the events that a move has added to a document; all of a new rollout."""
    return after.events[len(before.events) if before.rollout == after.rollout else 0 :]


def record_move(
    document: RolloutDocument, state: State, share: float, reason: str
) -> RolloutDocument:
    """Set a new state and append the move to the document's history."""
    event = RolloutEvent(at_ns=time.time_ns(), state=state, share=share, reason=reason)
    return msgspec.structs.replace(
        document, state=state, reason=reason, events=[*document.events, event]
    )


def name_target(target: Target | None) -> str:
    """Return a version in words."""
    return "nothing" if target is None else target.label
