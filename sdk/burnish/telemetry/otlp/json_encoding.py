"""Convert OTLP's JSON encoding to its protobuf encoding. Ids are hexadecimal in the JSON form."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from burnish.errors import JournalCorrupt
from burnish.telemetry.otlp.limits import JsonItems

_IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")
_DEEPEST = 100  # the limit of protobuf's own reader


def convert_json_request(body: bytes) -> bytes:
    """Convert an ExportTraceServiceRequest in JSON to protobuf bytes.

    Raises:
        JournalCorrupt: If the text is not such a request, or holds too much.
    """
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
    )

    _check_items(body)
    try:
        value = _convert_ids(msgspec.json.decode(body), _DEEPEST)
        message = json_format.ParseDict(
            value, ExportTraceServiceRequest(), ignore_unknown_fields=True
        )
        return message.SerializeToString()
    except (ValueError, TypeError, AttributeError, RecursionError, json_format.ParseError) as error:
        raise JournalCorrupt(
            f"{len(body)} bytes that are not an OTLP request: {error}",
            "an ExportTraceServiceRequest as JSON",
            "send OTLP, or set the sender's protocol to http/protobuf",
        ) from error


def count_records(body: bytes, signal: str) -> int:
    """Count the log records or metrics of a JSON request.

    Raises:
        JournalCorrupt: If the text is not such a request.
    """
    _check_items(body)
    outer, scopes, records = _RECORDS[signal]
    try:
        value = msgspec.json.decode(body)
        found = (scope[records] for item in value.get(outer, ()) for scope in item.get(scopes, ()))
        return sum(map(len, found))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise JournalCorrupt(
            f"{len(body)} bytes without {signal}: {error}", "OTLP as JSON", "send OTLP"
        ) from error


_RECORDS = {
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
    "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
}


def _check_items(body: bytes) -> None:
    """Count items before decoding: two characters can become a list of many bytes."""
    JsonItems().add(body.decode("utf-8", "replace"))


def _convert_ids(value: Any, deepest: int) -> Any:
    """Convert hexadecimal ids to the base64 of protobuf's JSON form."""
    if deepest == 0:
        raise ValueError("the JSON is nested too deeply")
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in _IDS and isinstance(item, str)
            else _convert_ids(item, deepest - 1)
            for key, item in value.items()
        }
    return [_convert_ids(item, deepest - 1) for item in value] if isinstance(value, list) else value
