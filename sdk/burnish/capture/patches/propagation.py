"""Make a tool's span OpenTelemetry's current span while the tool runs.

`enter` and `leave` are called at the start and end of a run. Instrumented HTTP clients, tracers and
propagators then use the tool's span as parent.

The previous context is restored by its value, not by a token: a token fails if a callback arrives
in another context than the one before it.
"""

from __future__ import annotations

from burnish import settings
from burnish.capture.faults import guarded
from burnish.capture.recorder.runs import Run


def enter(run: Run) -> None:
    """Make a run current, if the settings enable it."""
    if settings.current().propagate:
        _enter_span(run)


@guarded
def _enter_span(run: Run) -> None:
    from opentelemetry import context, trace

    ids = trace.SpanContext(
        trace_id=int(run.trajectory.trace or run.trajectory.id, 16),
        span_id=int(run.span, 16),
        is_remote=False,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    if not ids.is_valid:
        return
    before = context.get_current()
    context.attach(trace.set_span_in_context(trace.NonRecordingSpan(ids), before))
    run.outside = before


def leave(run: Run) -> None:
    """Restore the context from before a run."""
    if run.outside is not None:
        _leave_span(run)


@guarded
def _leave_span(run: Run) -> None:
    from opentelemetry import context

    before, run.outside = run.outside, None
    context.attach(before)
