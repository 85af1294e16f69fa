"""Counts what is shipped on an OpenTelemetry meter: durations, tokens, losses.

Knows: the instruments of the GenAI conventions, and ours beside them.
Does not know: where the meter's numbers go (the user's MeterProvider).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from burnish._version import __version__
from burnish.records import Span
from burnish.telemetry import semconv as s
from burnish.telemetry.delivery import Answer
from burnish.telemetry.otlp import Content

_DIRECTIONS = {"input_tokens": "input", "output_tokens": "output"}
_NAMED = (s.OPERATION, s.PROVIDER, s.REQUEST_MODEL, s.AGENT, s.TOOL_NAME, s.ERROR_TYPE)


class MeterReceiver:
    """Takes every span once, as an exporter does, and records it on a meter."""

    name = "metrics"

    def __init__(self, meter: Meter, waiting: Callable[[], dict[str, int]]) -> None:
        """Make the instruments.

        Args:
            meter: Of the user's MeterProvider.
            waiting: Bytes of the journal that each exporter has not shipped yet.
        """
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration", "s", "Duration of model calls, tools and agents."
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Tokens of model calls."
        )
        self._losses = meter.create_counter(
            "burnish.losses", "{item}", "What capture could not keep, by kind."
        )
        meter.create_observable_gauge(
            "burnish.journal.unshipped",
            [lambda options: _observe(waiting, options)],
            "By",
            "Bytes of the journal that wait to be shipped, by exporter.",
        )

    def send(self, spans: Sequence[Span], content: Content) -> Answer:
        """Record a batch."""
        for span in spans:
            get = span.attributes.get
            for kind, count in (get(s.LOSSES) or {}).items():
                self._losses.add(count, {"kind": kind})
            if span.kind in ("fact", "node") or span.end_ns is None:
                continue
            named = {key: str(value) for key in _NAMED if (value := get(key)) is not None}
            self._duration.record((span.end_ns - span.start_ns) / 1e9, named)
            for field, direction in _DIRECTIONS.items():
                count = get(s.USAGE[field])
                if isinstance(count, int):
                    self._tokens.record(count, {**named, "gen_ai.token.type": direction})
        return Answer("taken")

    def close(self) -> None:
        """Nothing is held."""


def meter_receiver(waiting: Callable[[], dict[str, int]]) -> MeterReceiver | None:
    """A receiver on the user's meter; None where no MeterProvider was set."""
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider

    provider = metrics.get_meter_provider()
    if not isinstance(provider, MeterProvider):
        return None
    return MeterReceiver(provider.get_meter("burnish", __version__), waiting)


def _observe(waiting: Callable[[], dict[str, int]], _: CallbackOptions) -> Iterable[Observation]:
    return [Observation(count, {"exporter": name}) for name, count in waiting().items()]
