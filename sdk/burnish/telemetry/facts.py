"""Turns events without duration into spans: outcomes, verdicts, final states, losses.

Knows: their attributes, in the form of the convention's evaluation results.
Does not know: which trajectory an outcome of a thread belongs to (trajectories/).
"""

from __future__ import annotations

from collections.abc import Callable

from burnish.journal import events as e
from burnish.telemetry import semconv as s
from burnish.telemetry.attributes import Attributes, Blobs, put, set_present


def _outcome(event: e.OutcomeReported, blobs: Blobs) -> tuple[str, Attributes]:
    attributes: Attributes = {s.FACT: "outcome", s.EVALUATION_NAME: event.source}
    set_present(
        attributes,
        {
            s.SCORE: event.score,
            s.LABEL: event.label,
            s.SUCCESS: event.success,
            s.CONVERSATION: event.thread_id,
            s.SCOPE: event.scope,
        },
    )
    put(attributes, blobs, {s.EVIDENCE: event.evidence})
    return f"outcome {event.source}", attributes


def _verdict(event: e.VerdictGiven, blobs: Blobs) -> tuple[str, Attributes]:
    attributes: Attributes = {s.FACT: "verdict", s.EVALUATION_NAME: event.verifier}
    set_present(
        attributes,
        {
            s.VERIFIER_VERSION: event.version,
            s.LABEL: event.label,
            s.SCORE: event.score,
            s.COST_USD: event.cost_usd,
        },
    )
    put(attributes, blobs, {s.EVIDENCE: event.evidence})
    return f"verdict {event.verifier}", attributes


def _state(event: e.StateRecorded, blobs: Blobs) -> tuple[str, Attributes]:
    attributes: Attributes = {s.FACT: "state"}
    put(attributes, blobs, {s.FINAL_STATE: event.state})
    return "final state", attributes


def _dropped(event: e.Dropped, blobs: Blobs) -> tuple[str, Attributes]:
    return "losses", {s.FACT: "losses", s.LOSSES: dict(event.counts)}


FACTS: dict[type, Callable[..., tuple[str, Attributes]]] = {
    e.OutcomeReported: _outcome,
    e.VerdictGiven: _verdict,
    e.StateRecorded: _state,
    e.Dropped: _dropped,
}
"""Name and attributes of a fact's span, by the type of its event."""
