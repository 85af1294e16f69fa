"""Select the outcomes, verdicts and states that count for a trajectory.

The newest fact of each source and origin counts. `concerns_trajectory` decides which trajectories an
outcome of a thread is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from burnish.records import Json, Origin, Outcome, Span, Verdict
from burnish.telemetry import semconv as s

_LABELS = ("success", "fail", "unknown")


class EndedTrajectory(msgspec.Struct, frozen=True):
    """A trajectory of a thread and its end time."""

    id: str
    ended_ns: int | None


def read_outcome(span: Span) -> Outcome:
    """Read the outcome of a fact span; a value of a wrong type is ignored."""
    get = span.attributes.get
    return Outcome(
        source=_text_or_none(get(s.EVALUATION_NAME)) or "",
        success=_flag_or_none(get(s.SUCCESS)),
        score=_number_or_none(get(s.SCORE)),
        label=_text_or_none(get(s.LABEL)),
        evidence=get(s.EVIDENCE),
        reported_ns=span.start_ns,
        scope="thread" if get(s.SCOPE) == "thread" else "last",
        origin=span.origin,
    )


def read_verdict(span: Span) -> Verdict:
    """Read the verdict of a fact span; a label that is not known becomes "unknown"."""
    get = span.attributes.get
    label = _text_or_none(get(s.LABEL))
    return Verdict(
        label=label if label in _LABELS else "unknown",
        verifier=_text_or_none(get(s.EVALUATION_NAME)) or "",
        version=_text_or_none(get(s.VERIFIER_VERSION)) or "1",
        score=_number_or_none(get(s.SCORE)),
        evidence=get(s.EVIDENCE),
        cost_usd=_number_or_none(get(s.COST_USD)),
        decided_ns=span.start_ns,
        origin=span.origin,
    )


def _text_or_none(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _flag_or_none(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


def _number_or_none(value: Json) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def concerns_trajectory(span: Span, trajectory: str, thread: Sequence[EndedTrajectory]) -> bool:
    """Return True if an outcome of a thread concerns this trajectory.

    Scope "thread" concerns all trajectories, scope "last" the last one that had ended by then.
    """
    if span.attributes.get(s.SCOPE) == "thread":
        return True
    ended = [
        (item.ended_ns, item.id)
        for item in thread
        if item.ended_ns is not None and item.ended_ns <= span.start_ns
    ]
    return bool(ended) and max(ended)[1] == trajectory


def select_newest_outcomes(spans: Iterable[Span]) -> list[Outcome]:
    """Return the newest outcome of each source and origin, in the order of reporting.

    A received outcome under a source's name does not replace the outcome that was reported here.
    """
    newest: dict[tuple[str, Origin], Outcome] = {}
    for span in sorted(spans, key=_sort_key):
        outcome = read_outcome(span)
        key = outcome.source, outcome.origin
        newest.pop(key, None)
        newest[key] = outcome
    return list(newest.values())


def select_newest_verdicts(spans: Iterable[Span]) -> list[Verdict]:
    """Return the newest verdict of each verifier and origin, in the order of deciding."""
    newest: dict[tuple[str, Origin], Verdict] = {}
    for span in sorted(spans, key=_sort_key):
        verdict = read_verdict(span)
        key = verdict.verifier, verdict.origin
        newest.pop(key, None)
        newest[key] = verdict
    return list(newest.values())


def select_newest_state(spans: Iterable[Span]) -> tuple[Json, Origin]:
    """Return the newest state and its origin; our own wins over received ones."""
    ordered = sorted(spans, key=lambda span: (span.origin == "own", *_sort_key(span)))
    if not ordered:
        return None, "own"
    return ordered[-1].attributes.get(s.FINAL_STATE), ordered[-1].origin


def _sort_key(span: Span) -> tuple[int, str]:
    return span.start_ns, span.span_id
