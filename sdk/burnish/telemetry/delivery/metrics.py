"""Record shipped spans on an OpenTelemetry meter: durations, tokens, losses.

Instruments are those of the GenAI conventions and our own. The user's MeterProvider exports them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from burnish._version import __version__
from burnish.records import Span
from burnish.telemetry import semconv as s
from burnish.telemetry.delivery.batch_delivery import DeliveryResult
from burnish.telemetry.otlp.codec import ContentMode

_NAMED = (s.OPERATION, s.PROVIDER, s.REQUEST_MODEL, s.AGENT, s.TOOL_NAME, s.WORKFLOW, s.ERROR_TYPE)
_DURATIONS = {
    "chat": ("gen_ai.client.inference.duration", "Duration of model calls."),
    "invoke_agent": ("gen_ai.invoke_agent.duration", "Duration of agents."),
    "invoke_workflow": ("gen_ai.invoke_workflow.duration", "Duration of workflows."),
    "execute_tool": ("gen_ai.execute_tool.duration", "Duration of tools."),
}
_OTHER = ("burnish.operation.duration", "Duration of retrievals and memory accesses.")
_TOKENS = {
    "input_tokens": "gen_ai.client.usage.input_tokens",
    "output_tokens": "gen_ai.client.usage.output_tokens",
    "cached_tokens": "gen_ai.client.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.client.usage.cache_write.input_tokens",
    "reasoning_tokens": "gen_ai.client.usage.reasoning.output_tokens",
}


class MeterReceiver:
    """Records every span once on a meter, as a receiver of the delivery loop."""

    name = "metrics"

    def __init__(self, meter: Meter, waiting: Callable[[], dict[str, int]]) -> None:
        """Make the instruments.

        Args:
            meter: A meter of the user's MeterProvider.
            waiting: Bytes of the journal that each exporter has not shipped yet.
        """
        self._durations = {
            operation: meter.create_histogram(name, "s", told)
            for operation, (name, told) in _DURATIONS.items()
        }
        self._other = meter.create_histogram(_OTHER[0], "s", _OTHER[1])
        self._first_chunk = meter.create_histogram(
            "gen_ai.client.inference.time_to_first_chunk", "s", "Time to the first chunk."
        )
        self._tokens = {
            field: meter.create_counter(name, "{token}", "Tokens of model calls.")
            for field, name in _TOKENS.items()
        }
        self._losses = meter.create_counter(
            "burnish.losses", "{item}", "Data that capture could not keep, by kind."
        )
        meter.create_observable_gauge(
            "burnish.journal.unshipped",
            [lambda options: _observe_backlog(waiting, options)],
            "By",
            "Bytes of the journal that wait to be shipped, by exporter.",
        )

    def send(self, spans: Sequence[Span], content: ContentMode) -> DeliveryResult:
        """Record a batch."""
        for span in spans:
            get = span.attributes.get
            losses = get(s.LOSSES)
            for kind, count in (losses if isinstance(losses, dict) else {}).items():
                self._losses.add(count, {"kind": kind})
            if span.kind in ("fact", "node") or span.end_ns is None:
                continue
            self._record_span(span, (span.end_ns - span.start_ns) / 1e9)
        return DeliveryResult("taken")

    def _record_span(self, span: Span, seconds: float) -> None:
        get = span.attributes.get
        named = {key: str(value) for key in _NAMED if (value := get(key)) is not None}
        self._durations.get(named.get(s.OPERATION, ""), self._other).record(seconds, named)
        first = get(s.FIRST_CHUNK)
        if isinstance(first, (int, float)):
            self._first_chunk.record(first, named)
        for field, counter in self._tokens.items():
            count = get(s.USAGE[field])
            if isinstance(count, int) and count >= 0:
                counter.add(count, named)

    def close(self) -> None:
        """Do nothing: no resources are held."""


def make_meter_receiver(waiting: Callable[[], dict[str, int]]) -> MeterReceiver | None:
    """Make a receiver on the user's meter; None if no MeterProvider is set."""
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider

    provider = metrics.get_meter_provider()
    if not isinstance(provider, MeterProvider):
        return None
    return MeterReceiver(provider.get_meter("burnish", __version__), waiting)


def _observe_backlog(
    waiting: Callable[[], dict[str, int]], _: CallbackOptions
) -> Iterable[Observation]:
    return [Observation(count, {"exporter": name}) for name, count in waiting().items()]
