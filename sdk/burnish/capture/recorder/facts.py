"""Make the events of facts: outcomes, verdicts, states, and counts of losses.

A fact is checked before it is written, because its caller relies on it: a value with a clear
meaning is converted, any other is refused. `origin_of` detects a fact that code inside a run
reports about that run; it is kept and never decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from burnish.capture.content.shared_content import Blobs, Content
from burnish.capture.recorder.context import trajectories_here
from burnish.capture.recorder.sealing import seal
from burnish.capture.recorder.values import (
    WrongValue,
    read_flag,
    read_integer,
    read_number,
    read_text,
)
from burnish.errors import CaptureError
from burnish.journal.events import (
    AnyEvent,
    Dropped,
    OutcomeReported,
    Ref,
    StateRecorded,
    VerdictGiven,
)
from burnish.records import Outcome, Verdict

_T = TypeVar("_T")
Fact = tuple[AnyEvent, Blobs]
"""An event and the contents that it names."""
_ORIGINS = ("own", "inside", "imported", "received")
_LABELS = ("success", "fail", "unknown")
_SCOPES = ("last", "thread")
_FIX = 'burnish.outcome(thread_id="t-42", success=True, source="crm")'
_VERDICT_FIX = 'Verdict(label="success", verifier="tests", version="1")'


def outcome_event(
    outcome: Outcome,
    content: Content,
    *,
    trajectory_id: str | None = None,
    thread_id: str | None = None,
) -> Fact:
    """Make the event of an outcome of a trajectory or of a thread.

    Raises:
        CaptureError: If it names no run or two, or a value is of a wrong type.
    """
    trajectory = _read_field("outcome(trajectory_id)", read_text, trajectory_id)
    thread = _read_field("outcome(thread_id)", read_text, thread_id)
    if (trajectory is None) == (thread is None):
        raise CaptureError(
            f"outcome() got thread_id={thread!r} and trajectory_id={trajectory!r}",
            "exactly one of them",
            _FIX,
        )
    source = _read_field("outcome(source)", _read_name, outcome.source)
    if source is None:
        raise CaptureError("outcome(source) is None", "a name, such as crm", _FIX)
    success = _read_field("outcome(success)", read_flag, outcome.success)
    score = _read_field("outcome(score)", read_number, outcome.score)
    label = _read_field("outcome(label)", read_text, outcome.label)
    scope = _read_field("outcome(scope)", lambda value: _one_of(value, _SCOPES), outcome.scope)
    blobs: Blobs = {}
    event = OutcomeReported(
        at=_read_moment("outcome(reported_ns)", outcome.reported_ns),
        source=source,
        trajectory=trajectory,
        thread_id=thread,
        success=success,
        score=score,
        label=label,
        evidence=_encode_content(content, blobs, outcome.evidence),
        scope=scope or "last",
        origin=_origin_of_fact(outcome.origin, trajectory, thread if scope == "thread" else None),
    )
    return _seal_fact(event, content, blobs), blobs


def verdict_event(trajectory_id: str, verdict: Verdict, content: Content) -> Fact:
    """Make the event of a verifier's conclusion.

    Raises:
        CaptureError: If a value is of a wrong type.
    """

    def read(name: str, reader: Callable[[Any], _T], value: Any) -> _T | None:
        return _read_field(f"verdict.{name}", reader, value, _VERDICT_FIX)

    trajectory = _require_text("verdict.trajectory", trajectory_id)
    blobs: Blobs = {}
    event = VerdictGiven(
        at=_read_moment("verdict.decided_ns", verdict.decided_ns),
        trajectory=trajectory,
        verifier=_require_text("verdict.verifier", verdict.verifier),
        version=read("version", read_text, verdict.version) or "1",
        label=read("label", lambda value: _one_of(value, _LABELS), verdict.label) or "unknown",
        score=read("score", read_number, verdict.score),
        evidence=_encode_content(content, blobs, verdict.evidence),
        cost_usd=read("cost_usd", read_number, verdict.cost_usd),
        origin=_origin_of_fact(verdict.origin, trajectory, None),
    )
    return _seal_fact(event, content, blobs), blobs


def state_event(trajectory_id: str, state: Any, content: Content, origin: str = "own") -> Fact:
    """Make the event of a final state.

    Raises:
        CaptureError: If the trajectory's id is of a wrong type.
    """
    trajectory = _require_text("record_state(trajectory_id)", trajectory_id)
    ref, blob = content.value(state)
    blobs = {ref: blob}
    event = StateRecorded(
        at=time.time_ns(),
        trajectory=trajectory,
        state=ref,
        origin=_origin_of_fact(origin, trajectory, None),
    )
    return _seal_fact(event, content, blobs), blobs


def losses_event(counts: Mapping[str, int], content: Content) -> AnyEvent:
    """Make the event of losses, by kind."""
    return _seal_fact(Dropped(at=time.time_ns(), counts=dict(counts)), content, {})


def origin_of(trajectory_id: str | None, thread_id: str | None) -> str:
    """Return the origin of a fact reported here: "inside" within the run that it is about.

    Args:
        trajectory_id: The trajectory that it is about.
        thread_id: The thread of which it is about every trajectory.
    """
    inside = any(
        here.id == trajectory_id or (thread_id is not None and here.thread_id == thread_id)
        for here in trajectories_here()
    )
    return "inside" if inside else "own"


def _origin_of_fact(given: Any, trajectory_id: str | None, thread_id: str | None) -> str:
    named = given if given in _ORIGINS else "received"
    return origin_of(trajectory_id, thread_id) if named == "own" else named


def _read_field(place: str, read: Callable[[Any], _T], value: Any, fix: str = _FIX) -> _T | None:
    if value is None:
        return None
    try:
        return read(value)
    except WrongValue as wrong:
        raise CaptureError(f"{place} is {wrong.found}", wrong.expected, fix) from wrong


def _require_text(place: str, value: Any) -> str:
    found = _read_field(place, _read_name, value, _VERDICT_FIX)
    if found is None:
        raise CaptureError(f"{place} is None", "a name", _VERDICT_FIX)
    return found


def _read_name(value: Any) -> str:
    text = read_text(value, "a name")
    if not text:
        raise WrongValue(value, "a name that is not empty")
    return text


def _one_of(value: Any, words: tuple[str, ...]) -> str:
    expected = f"one of {', '.join(words)}"
    text = read_text(value, expected)
    if text not in words:
        raise WrongValue(value, expected)
    return text


def _read_moment(place: str, given: Any) -> int:
    """Read a time in nanoseconds since the epoch; 0 and None mean now."""
    expected = "nanoseconds since the epoch"
    found = _read_field(place, lambda value: read_integer(value, expected, least=0), given)
    return found or time.time_ns()


def _encode_content(content: Content, blobs: Blobs, value: Any) -> Ref | None:
    if value is None:
        return None
    ref, blob = content.value(value)
    blobs[ref] = blob
    return ref


def _seal_fact(event: AnyEvent, content: Content, blobs: Blobs) -> AnyEvent:
    return seal(event, content.door, content.losses, redacted=content.redacted(blobs))
