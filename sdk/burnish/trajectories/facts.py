"""Which outcomes, verdicts and states count for a trajectory.

Knows: that the newest of a source counts, and whom an outcome of a thread means.
Does not know: how facts are stored, what the calls were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from burnish.records import Json, Origin, Outcome, Span, Verdict
from burnish.telemetry import semconv as s

_LABELS = ("success", "fail", "unknown")


class Ended(msgspec.Struct, frozen=True):
    """A trajectory of a thread, and when it ended."""

    id: str
    ended_ns: int | None


def outcome_of(span: Span) -> Outcome:
    """The outcome that a fact span tells; a field of another type says nothing."""
    get = span.attributes.get
    return Outcome(
        source=_text(get(s.EVALUATION_NAME)) or "",
        success=_flag(get(s.SUCCESS)),
        score=_number(get(s.SCORE)),
        label=_text(get(s.LABEL)),
        evidence=get(s.EVIDENCE),
        reported_ns=span.start_ns,
        scope="thread" if get(s.SCOPE) == "thread" else "last",
        origin=span.origin,
    )


def verdict_of(span: Span) -> Verdict:
    """The verdict that a fact span tells; a label that is none of ours is unknown."""
    get = span.attributes.get
    label = _text(get(s.LABEL))
    return Verdict(
        label=label if label in _LABELS else "unknown",
        verifier=_text(get(s.EVALUATION_NAME)) or "",
        version=_text(get(s.VERIFIER_VERSION)) or "1",
        score=_number(get(s.SCORE)),
        evidence=get(s.EVIDENCE),
        cost_usd=_number(get(s.COST_USD)),
        decided_ns=span.start_ns,
        origin=span.origin,
    )


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _flag(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


def _number(value: Json) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def meant(span: Span, trajectory: str, thread: Sequence[Ended]) -> bool:
    """Whether an outcome of a thread is about this trajectory of it.

    With scope "thread" it is about all of them, else about the last that had ended by then.
    """
    if span.attributes.get(s.SCOPE) == "thread":
        return True
    ended = [
        (item.ended_ns, item.id)
        for item in thread
        if item.ended_ns is not None and item.ended_ns <= span.start_ns
    ]
    return bool(ended) and max(ended)[1] == trajectory


def newest_outcomes(spans: Iterable[Span]) -> list[Outcome]:
    """The newest outcome of each source, in the order of reporting.

    What another party reports under a source's name stands beside what that source reported here.
    """
    newest: dict[tuple[str, Origin], Outcome] = {}
    for span in sorted(spans, key=_moment):
        outcome = outcome_of(span)
        key = outcome.source, outcome.origin
        newest.pop(key, None)
        newest[key] = outcome
    return list(newest.values())


def newest_verdicts(spans: Iterable[Span]) -> list[Verdict]:
    """The newest verdict of each verifier, in the order of deciding; of each origin, as above."""
    newest: dict[tuple[str, Origin], Verdict] = {}
    for span in sorted(spans, key=_moment):
        verdict = verdict_of(span)
        key = verdict.verifier, verdict.origin
        newest.pop(key, None)
        newest[key] = verdict
    return list(newest.values())


def newest_state(spans: Iterable[Span]) -> tuple[Json, Origin]:
    """The state that was recorded last and its origin; our own is taken before any other."""
    ordered = sorted(spans, key=lambda span: (span.origin == "own", *_moment(span)))
    if not ordered:
        return None, "own"
    return ordered[-1].attributes.get(s.FINAL_STATE), ordered[-1].origin


def _moment(span: Span) -> tuple[int, str]:
    return span.start_ns, span.span_id
