"""OTLP's JSON encoding becomes its protobuf encoding.

Knows: how the two differ (ids in hexadecimal). Does not know: what spans say.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from burnish.errors import JournalCorrupt
from burnish.telemetry.otlp_limits import MOST_ITEMS

_IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")
_DEEPEST = 100  # as protobuf's own reader


def request_of_json(body: bytes) -> bytes:
    """The protobuf bytes of an ExportTraceServiceRequest in JSON.

    Raises:
        JournalCorrupt: If the text is no such request, or holds too much.
    """
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
    )

    # Outside strings only separators count; a text with many commas is bounded by the body's size.
    if body.count(b'":') > 4 * MOST_ITEMS or body.count(b"{") > 4 * MOST_ITEMS:
        raise JournalCorrupt(
            f"a JSON request of more than {4 * MOST_ITEMS} fields",
            "a smaller request",
            "send smaller batches (OTEL_BSP_MAX_EXPORT_BATCH_SIZE)",
        )
    try:
        value = _with_ids(msgspec.json.decode(body), _DEEPEST)
        message = json_format.ParseDict(
            value, ExportTraceServiceRequest(), ignore_unknown_fields=True
        )
        return message.SerializeToString()
    except (ValueError, TypeError, AttributeError, RecursionError, json_format.ParseError) as error:
        raise JournalCorrupt(
            f"{len(body)} bytes that are no OTLP request: {error}",
            "an ExportTraceServiceRequest as JSON",
            "send OTLP, or set the sender's protocol to http/protobuf",
        ) from error


def count_records(body: bytes, signal: str) -> int:
    """How many log records or metrics a JSON request holds.

    Raises:
        JournalCorrupt: If the text is no such request.
    """
    outer, scopes, records = _RECORDS[signal]
    try:
        value = msgspec.json.decode(body)
        found = (scope[records] for item in value.get(outer, ()) for scope in item.get(scopes, ()))
        return sum(map(len, found))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise JournalCorrupt(
            f"{len(body)} bytes that hold no {signal}: {error}", "OTLP as JSON", "send OTLP"
        ) from error


_RECORDS = {
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
    "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
}


def _with_ids(value: Any, deepest: int) -> Any:
    """JSON with its hexadecimal ids as the base64 that protobuf's JSON wants."""
    if deepest == 0:
        raise ValueError("it is nested too deeply")
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in _IDS and isinstance(item, str)
            else _with_ids(item, deepest - 1)
            for key, item in value.items()
        }
    return [_with_ids(item, deepest - 1) for item in value] if isinstance(value, list) else value
