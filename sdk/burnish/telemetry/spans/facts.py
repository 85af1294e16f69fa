"""Describe events without duration as spans: outcomes, verdicts, final states, losses.

Attributes follow the conventions' evaluation results. `FACTS` maps each event type to its function;
`trajectories/` finds the trajectory that an outcome of a thread belongs to.
"""

from __future__ import annotations

from collections.abc import Callable

from burnish.journal import events as e
from burnish.telemetry import semconv as s
from burnish.telemetry.spans.attributes import Attributes, Blobs, set_contents, set_present


def _describe_outcome(event: e.OutcomeReported, blobs: Blobs) -> tuple[str, Attributes]:
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
    set_contents(attributes, blobs, {s.EVIDENCE: event.evidence})
    return f"outcome {event.source}", attributes


def _describe_verdict(event: e.VerdictGiven, blobs: Blobs) -> tuple[str, Attributes]:
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
    set_contents(attributes, blobs, {s.EVIDENCE: event.evidence})
    return f"verdict {event.verifier}", attributes


def _describe_state(event: e.StateRecorded, blobs: Blobs) -> tuple[str, Attributes]:
    attributes: Attributes = {s.FACT: "state"}
    set_contents(attributes, blobs, {s.FINAL_STATE: event.state})
    return "final state", attributes


def _describe_losses(event: e.Dropped, blobs: Blobs) -> tuple[str, Attributes]:
    return "losses", {s.FACT: "losses", s.LOSSES: dict(event.counts)}


FACTS: dict[type, Callable[..., tuple[str, Attributes]]] = {
    e.OutcomeReported: _describe_outcome,
    e.VerdictGiven: _describe_verdict,
    e.StateRecorded: _describe_state,
    e.Dropped: _describe_losses,
}
"""Name and attributes of a fact's span, by the type of its event."""
