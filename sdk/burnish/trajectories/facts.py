"""Which outcomes, verdicts and states count for a trajectory.

Knows: that the newest of a source counts, and whom an outcome of a thread means.
Does not know: how facts are stored, what the calls were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from burnish.records import Json, Outcome, Span, Verdict
from burnish.telemetry import semconv as s

_LABELS = ("success", "fail", "unknown")


class Ended(msgspec.Struct, frozen=True):
    """A trajectory of a thread, and when it ended."""

    id: str
    ended_ns: int | None


def outcome_of(span: Span) -> Outcome:
    """The outcome that a fact span tells."""
    get = span.attributes.get
    return Outcome(
        source=get(s.EVALUATION_NAME) or "",
        success=get(s.SUCCESS),
        score=get(s.SCORE),
        label=get(s.LABEL),
        evidence=get(s.EVIDENCE),
        reported_ns=span.start_ns,
        scope="thread" if get(s.SCOPE) == "thread" else "last",
    )


def verdict_of(span: Span) -> Verdict:
    """The verdict that a fact span tells; a label that is none of ours is unknown."""
    get = span.attributes.get
    label = get(s.LABEL)
    return Verdict(
        label=label if label in _LABELS else "unknown",
        verifier=get(s.EVALUATION_NAME) or "",
        version=get(s.VERIFIER_VERSION) or "1",
        score=get(s.SCORE),
        evidence=get(s.EVIDENCE),
        cost_usd=get(s.COST_USD),
        decided_ns=span.start_ns,
    )


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
    """The newest outcome of each source, in the order of reporting."""
    newest: dict[str, Outcome] = {}
    for span in sorted(spans, key=_moment):
        outcome = outcome_of(span)
        newest.pop(outcome.source, None)
        newest[outcome.source] = outcome
    return list(newest.values())


def newest_verdicts(spans: Iterable[Span]) -> list[Verdict]:
    """The newest verdict of each verifier, in the order of deciding."""
    newest: dict[str, Verdict] = {}
    for span in sorted(spans, key=_moment):
        verdict = verdict_of(span)
        newest.pop(verdict.verifier, None)
        newest[verdict.verifier] = verdict
    return list(newest.values())


def newest_state(spans: Iterable[Span]) -> Json:
    """The state that was recorded last, None without any."""
    ordered = sorted(spans, key=_moment)
    return ordered[-1].attributes.get(s.FINAL_STATE) if ordered else None


def _moment(span: Span) -> tuple[int, str]:
    return span.start_ns, span.span_id
