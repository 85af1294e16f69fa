"""Convert spans to OpenTelemetry's types and to OTLP, and back.

`encode_request` and `to_readable` write, `OtlpReader` reads. Values that OTLP cannot hold exactly
travel as JSON text and are listed in `burnish.json`, so that integers of any size, NaN, null and
lone surrogates come back unchanged.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

from burnish._version import __version__
from burnish.errors import JournalCorrupt
from burnish.journal.events import ascii_json, from_json
from burnish.records import Json, Span, SpanKind
from burnish.telemetry import semconv as s
from burnish.telemetry.otlp.limits import JsonItems, check_size
from burnish.telemetry.spans.foreign_conventions import read_failure, translate_attributes
from burnish.telemetry.spans.presentation import present_span, remove_additions
from burnish.telemetry.spans.references import ENDING, name_content
from burnish.telemetry.spans.schema import SpanRefused, admit_span, count_loss

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event as OtelEvent
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.util.types import AttributeValue

ContentMode = Literal["inline", "reference", "none"]
_INT64 = 2**63
_CACHED = 1000  # conversations whose last messages are kept decoded
_KINDS: dict[str, SpanKind] = {
    "invoke_agent": "agent",
    "invoke_workflow": "agent",
    "chat": "model",
    "text_completion": "model",
    "generate_content": "model",
    "execute_tool": "tool",
    "retrieval": "tool",
    "search_memory": "tool",
    "create_memory": "tool",
    "update_memory": "tool",
    "upsert_memory": "tool",
    "delete_memory": "tool",
}


def to_readable(span: Span, content: ContentMode = "inline") -> ReadableSpan:
    """Convert a span to the type that OpenTelemetry SpanExporters accept."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
    from opentelemetry.trace.status import Status, StatusCode

    trace_id = _parse_id(span.trace_id, 16)
    flags = TraceFlags(TraceFlags.SAMPLED)
    context = SpanContext(trace_id, _parse_id(span.span_id, 8), is_remote=False, trace_flags=flags)
    parent = None
    if span.parent_id is not None:
        parent = SpanContext(trace_id, _parse_id(span.parent_id, 8), is_remote=False)
    shown = present_span(span, inline=content == "inline")
    status = Status(StatusCode.UNSET)
    if shown.status == "error":
        status = Status(StatusCode.ERROR, _replace_surrogates(shown.message))
    elif shown.status == "ok":
        status = Status(StatusCode.OK)
    attributes = _encode_attributes(span.kind, shown.attributes, content)
    return ReadableSpan(
        name=_replace_surrogates(span.name),
        context=context,
        parent=parent,
        resource=_read_resource(),
        attributes=attributes,
        events=_make_events(span, attributes),
        kind=SpanKind.CLIENT if span.kind == "model" else SpanKind.INTERNAL,
        instrumentation_scope=InstrumentationScope("burnish", __version__, s.SCHEMA_URL),
        status=status,
        start_time=span.start_ns,
        end_time=span.start_ns if span.end_ns is None else span.end_ns,
    )


def to_attributes(span: Span, content: ContentMode = "inline") -> dict[str, AttributeValue]:
    """Convert attributes to OpenTelemetry's types; other values become JSON text."""
    return _encode_attributes(
        span.kind, present_span(span, inline=content == "inline").attributes, content
    )


def _encode_attributes(
    kind: str, attributes: Mapping[str, Json], content: ContentMode
) -> dict[str, AttributeValue]:
    encoded: dict[str, AttributeValue] = {s.KIND: kind}
    as_json, as_text = [], []
    for key, value in attributes.items():
        if content != "inline" and key in s.CONTENT_ATTRIBUTES:
            if content == "reference":
                names, _ = name_content(key, value)
                encoded[f"{key}{ENDING}"] = names if isinstance(names, str) else tuple(names)
        elif key == s.TOOL_RESULT and isinstance(value, str) and _is_plain(value):
            encoded[key] = value  # receivers show it unquoted
            as_text.append(key)
        elif key in s.JSON_ATTRIBUTES:
            encoded[key] = ascii_json(value)
        elif _is_plain(value):
            encoded[key] = tuple(value) if isinstance(value, list) else value
        else:
            encoded[key] = ascii_json(value)
            as_json.append(key)
    if as_json:
        encoded[s.JSON_KEYS] = tuple(as_json)
    if as_text:
        encoded[s.TEXT_KEYS] = tuple(as_text)
    return encoded


def encode_request(spans: Iterable[Span], content: ContentMode = "inline") -> bytes:
    """Encode spans as an OTLP ExportTraceServiceRequest."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    return encode_spans([to_readable(span, content) for span in spans]).SerializeToString()


class OtlpReader:
    """Reads OTLP requests; of a growing conversation only the new messages are decoded."""

    def __init__(self) -> None:
        self._messages: OrderedDict[str, tuple[str, list[Json]]] = OrderedDict()
        self._items: JsonItems | None = None  # None: a trusted request of our own

    def decode_request(self, request: bytes) -> Iterator[Span]:
        """Yield the spans of an ExportTraceServiceRequest without checking their attributes.

        Raises:
            JournalCorrupt: If the bytes are not such a request.
        """
        for span in self._parse_spans(request):
            yield self._convert_span(span)

    def admit_request(self, request: bytes) -> Iterator[Span | SpanRefused]:
        """Yield the spans of another party's request; each conforms to the schema or is refused.

        Raises:
            JournalCorrupt: If the bytes are not such a request, or hold too much.
        """
        check_size(request)
        self._items = JsonItems()
        for span in self._parse_spans(request):
            try:
                yield admit_span(self._convert_span(span))
            except SpanRefused as refused:
                yield refused

    def _parse_spans(self, request: bytes) -> Iterator[ProtoSpan]:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        try:
            message = ExportTraceServiceRequest.FromString(request)
        except DecodeError as error:
            raise JournalCorrupt(
                f"{len(request)} bytes that are not an OTLP request: {error}",
                "a protobuf ExportTraceServiceRequest",
                "set the sender's protocol to http/protobuf",
            ) from error
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                yield from scope.spans

    def _convert_span(self, span: ProtoSpan) -> Span:
        attributes = {item.key: _convert_value(item.value) for item in span.attributes}
        own = attributes.pop(s.KIND, None)
        operation = attributes.get(s.OPERATION)
        kind: SpanKind = own if own is not None else _KINDS.get(str(operation), "node")
        if span.status.code not in (0, 1, 2):
            raise SpanRefused(
                f"span {span.name[:80]!r} is refused: its status code is {span.status.code}",
                "0, 1 or 2",
                "correct the sender",
            )
        status = ("unset", "ok", "error")[span.status.code]
        self._decode_json(attributes, own=own is not None)
        if own is None:
            read_failure(attributes, span, _read_exception(span))
            translate_attributes(attributes, span.name)
        unfinished = attributes.get(s.UNFINISHED) or not span.end_time_unix_nano
        return Span(
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex() or None,
            kind=kind,
            name=span.name,
            start_ns=span.start_time_unix_nano,
            end_ns=None if unfinished else span.end_time_unix_nano,
            status=remove_additions(attributes, status),
            attributes=attributes,
            origin="received",
        )

    def _decode_json(self, attributes: dict[str, Json], *, own: bool) -> None:
        marked, texts = attributes.pop(s.JSON_KEYS, ()), attributes.pop(s.TEXT_KEYS, ())
        for name, keys in ((s.JSON_KEYS, marked), (s.TEXT_KEYS, texts)):
            if not isinstance(keys, (list, tuple)) or not all(isinstance(k, str) for k in keys):
                raise SpanRefused(
                    f"a span is refused: {name} is not a list of names",
                    "a list of texts",
                    "correct the sender",
                )
        encoded = [key for key in attributes if key in s.JSON_ATTRIBUTES or key in marked]
        encoded.sort(
            key=lambda key: key != s.LOSSES
        )  # losses first, because other keys may add to them
        for key in encoded:
            text = attributes[key]
            if not isinstance(text, str) or key in texts or (key == s.TOOL_RESULT and not own):
                continue  # a structured value, or plain text
            if self._items is not None:
                self._items.add(text)
            try:
                if key == s.INPUT_MESSAGES:
                    attributes[key] = self._decode_messages(attributes.get(s.TRAJECTORY), text)
                else:
                    attributes[key] = from_json(text)
            except (RecursionError, ValueError) as error:
                too_deep = isinstance(error, RecursionError) and key.startswith("burnish.")
                if too_deep or key == s.LOSSES:
                    raise SpanRefused(
                        f"a span is refused: {key} is not JSON, or nested too deeply",
                        "JSON of at most 200 levels",
                        "correct the sender",
                    ) from error
                if key in marked or s.TRAJECTORY in attributes:
                    count_loss(attributes, "undecodable_attributes")

    def _decode_messages(self, trajectory: Json, text: str) -> Json:
        """Decode messages, reusing those of the previous request that this one begins with."""
        if not isinstance(trajectory, str):
            return from_json(text)
        known, messages = self._messages.get(trajectory, ("", []))
        rest = text[len(known) :]
        if known and text.startswith(known) and (rest == "]" or rest.startswith(",")):
            messages = messages + (from_json(f"[{rest[1:-1]}]") if rest != "]" else [])
        else:
            messages = from_json(text)
        if isinstance(messages, list) and messages and text.endswith("]"):
            self._messages[trajectory] = (text[:-1], messages)
            self._messages.move_to_end(trajectory)
            if len(self._messages) > _CACHED:
                self._messages.popitem(last=False)
        return messages


def _read_exception(span: ProtoSpan) -> dict[str, Json]:
    """Return the attributes of the last exception event."""
    said: dict[str, Json] = {}
    for event in span.events:
        if event.name == "exception":
            said = {item.key: _convert_value(item.value) for item in event.attributes}
    return said


def _convert_value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_convert_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: _convert_value(item.value) for item in value.kvlist_value.values}
    if kind == "bytes_value":
        return {"$bytes": base64.b64encode(value.bytes_value).decode()}  # as capture writes bytes
    return None if kind is None else getattr(value, kind)


def _is_plain(value: Json) -> bool:
    """Return True if OpenTelemetry keeps the value exactly."""
    if isinstance(value, str):
        return value.isascii() or _is_unicode(value)
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return -_INT64 <= value < _INT64
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, str) and _is_plain(item) for item in value)
    return isinstance(value, float)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _replace_surrogates(text: str) -> str:
    return text if _is_unicode(text) else text.encode("utf-8", "backslashreplace").decode()


def _parse_id(digits: str, size: int) -> int:
    """Convert an id to an integer; a text that is not hex of that size is hashed."""
    if len(digits) == 2 * size:
        try:
            return int(digits, 16) or 1
        except ValueError:
            pass
    hashed = hashlib.blake2b(digits.encode("utf-8", "surrogatepass"), digest_size=size)
    return int.from_bytes(hashed.digest(), "big") or 1


def _make_events(span: Span, attributes: Mapping[str, AttributeValue]) -> list[OtelEvent]:
    if span.attributes.get(s.FACT) not in ("outcome", "verdict"):
        return []
    from opentelemetry.sdk.trace import Event

    result = {key: value for key, value in attributes.items() if key.startswith("gen_ai.eval")}
    return [Event(s.EVALUATION_EVENT, result, span.start_ns)]


@lru_cache(maxsize=1)
def _read_resource() -> Resource:
    from opentelemetry.sdk.resources import Resource

    attributes = {"service.name": "burnish"}
    for item in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        name, equals, value = item.partition("=")
        if equals:
            attributes[name.strip()] = unquote(value.strip())
    name = os.environ.get("OTEL_SERVICE_NAME")
    if name:
        attributes["service.name"] = name
    return Resource(
        {**attributes, "telemetry.sdk.name": "burnish", "telemetry.sdk.language": "python"}
    )
