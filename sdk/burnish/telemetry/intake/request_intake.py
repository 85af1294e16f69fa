"""Write the spans of OTLP requests to the journal, and decide what the sender is answered.

`Intake.take_request` is the entry; `http_intake` and `grpc_intake` call it. It returns after the
journal has the bytes, so a positive answer is a promise.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from http import HTTPStatus
from typing import NamedTuple

from burnish.capture.content.shared_content import Content
from burnish.capture.recorder.facts import losses_event
from burnish.errors import BurnishError, JournalCorrupt, WorkspaceError
from burnish.http_guard import RequestRefused
from burnish.journal.events import Ref, SpanReceived
from burnish.journal.writer import JournalWriter
from burnish.records import Span
from burnish.telemetry.otlp.codec import OtlpReader
from burnish.telemetry.spans.received_spans import Clean, redact_span, split_span
from burnish.telemetry.spans.schema import SpanRefused

_LOG = logging.getLogger("burnish.receive")
_BATCH = 512  # spans in one append
_REFUSALS = ("refused_spans", "refused_requests")
_TELL_EVERY_S = 1.0  # limits what a flood of bad requests writes to the journal
_AT_ONCE = 2  # requests decoded at once: each may expand to many times its size


class Taken(NamedTuple):
    """Counts of the stored and the refused spans of a request."""

    spans: int
    refused: int = 0
    reason: str = ""


class Intake:
    """Writes requests into one journal."""

    def __init__(self, writer: JournalWriter, clean: Clean | None = None) -> None:
        self.writer = writer
        self._clean = clean
        self.decoding = threading.BoundedSemaphore(_AT_ONCE)
        self._counts: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()  # refusals not yet written to the journal
        self._told_s = -_TELL_EVERY_S
        self._lock = threading.Lock()

    @property
    def counts(self) -> dict[str, int]:
        """Counts of stored `spans`, `refused_spans`, `refused_requests`, and skipped `logs` and `metrics`."""
        with self._lock:
            return {kind: count for kind, count in self._counts.items() if count}

    @property
    def spans(self) -> int:
        """Number of stored spans."""
        return self._counts["spans"]

    def add_count(self, kind: str, number: int = 1) -> None:
        """Add to a count; refusals also go to the journal, where `burnish doctor` reads them."""
        now = time.monotonic()
        with self._lock:
            self._counts[kind] += number
            if kind not in _REFUSALS or not number:
                return
            self._untold[kind] += number
            due = now - self._told_s >= _TELL_EVERY_S
            self._told_s = now if due else self._told_s
        if due:
            self.record_refusals()

    def record_refusals(self) -> None:
        """Write the refusals since the last call to the journal; keep them if that fails."""
        with self._lock:
            news, self._untold = dict(self._untold), Counter()
        if not news:
            return
        try:
            self.writer.append(losses_event(news, Content({}, None)))
        except (OSError, BurnishError):
            with self._lock:
                self._untold.update(news)

    def take_request(self, request: bytes) -> Taken:
        """Write the spans of an ExportTraceServiceRequest that conform to the schema.

        Returns:
            How many spans are in the journal, how many were refused, and why.

        Raises:
            JournalCorrupt: If the bytes are not such a request, or no span conforms.
            OSError: If the journal cannot be written now; the sender should retry.
        """
        batch: list[Span] = []
        taken, refusals = 0, list[SpanRefused]()
        with self.decoding:
            for span in OtlpReader().admit_request(request):
                if isinstance(span, SpanRefused):
                    refusals.append(span)
                    continue
                batch.append(span)
                if len(batch) >= _BATCH:
                    taken += self._write_spans(batch)
                    batch = []
            taken += self._write_spans(batch)
        self.add_count("refused_spans", len(refusals))
        if refusals and not taken:
            raise refusals[0]
        if refusals:
            _LOG.warning("%d of %d spans: %s", len(refusals), len(refusals) + taken, refusals[0])
        return Taken(taken, len(refusals), str(refusals[0]) if refusals else "")

    def _write_spans(self, spans: list[Span]) -> int:
        events: list[SpanReceived] = []
        contents: dict[Ref, bytes] = {}
        for span in spans:
            event, blobs = split_span(
                span if self._clean is None else redact_span(span, self._clean)
            )
            events.append(event)
            contents.update(blobs)
        if events:
            self.writer.append_all(events, contents)
        self.add_count("spans", len(events))
        return len(events)


def take_or_refuse(intake: Intake, request: bytes) -> Taken:
    """Take a request.

    Raises:
        RequestRefused: With the status for the sender: 400 means do not retry, 503 means retry.
    """
    try:
        return intake.take_request(request)
    except JournalCorrupt as error:
        _LOG.warning("a request is refused: %s", error)
        raise RequestRefused(HTTPStatus.BAD_REQUEST, str(error)) from error
    except (OSError, WorkspaceError) as error:
        _LOG.warning("spans are refused until the journal can be written: %s", error)
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error


def encode_partial_success(taken: Taken) -> bytes:
    """Encode the ExportTraceServiceResponse that reports refused spans."""
    if not taken.refused:
        return b""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = taken.refused
    answer.partial_success.error_message = taken.reason
    return answer.SerializeToString()
