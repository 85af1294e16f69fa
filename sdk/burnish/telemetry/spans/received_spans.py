"""Convert received spans to journal events, and back to spans.

`split_span` separates content from the event, so that content shared with other spans is stored
once; `restore_span` joins both again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import msgspec

from burnish.capture.content.redaction_guard import WITHHELD_TEXT
from burnish.capture.recorder.received_spans import received_event
from burnish.journal.events import Ref, SpanReceived, ordered_json, ref_of
from burnish.records import Json, Span, SpanKind
from burnish.telemetry import semconv as s
from burnish.telemetry.spans.attributes import Attributes, Blobs, count_missing, set_contents

Clean = Callable[[Any], Any]
"""Redacts plain data; returns the same data if nothing was found."""

_SPELLED = (s.TOKEN_IDS, s.PROMPT_TOKEN_IDS, s.LOGPROBS)
_SHORT = 200
_INT64 = 2**63
_LISTS = (s.INPUT_MESSAGES, s.OUTPUT_MESSAGES)
_NAMES = frozenset(value for value in vars(s).values() if isinstance(value, str) and "." in value)
_HEX = re.compile(r"[0-9a-f]{32}")


def redact_span(span: Span, clean: Clean) -> Span:
    """Redact a span: attribute values, attribute names and the span's name.

    Token ids are dropped if anything was replaced. Names of the conventions and the hexadecimal id
    of the trajectory are kept.
    """
    attributes = {
        key if key in _NAMES else _text_of(clean(key)): _redact_value(key, value, clean)
        for key, value in span.attributes.items()
    }
    name = span.name if span.name in _NAMES else _text_of(clean(span.name))
    if name == span.name and attributes == span.attributes:
        return span
    kept = {key: value for key, value in attributes.items() if key not in _SPELLED}
    return msgspec.structs.replace(span, name=name, attributes={**kept, s.REDACTED: True})


def _redact_value(key: str, value: Json, clean: Clean) -> Json:
    if key == s.TRAJECTORY and isinstance(value, str) and _HEX.fullmatch(value):
        return value
    (kept,) = clean({key: value}).values()  # the key helps to detect what the value is
    return kept


def _text_of(cleaned: Json) -> str:
    """Return the redacted text, or a note that it is withheld if redaction failed."""
    return cleaned if isinstance(cleaned, str) else WITHHELD_TEXT


def split_span(span: Span) -> tuple[SpanReceived, dict[Ref, bytes]]:
    """Split a span into one event and its content as blobs."""
    blobs: dict[Ref, bytes] = {}
    plain: dict[str, Json] = {}
    contents: dict[str, Ref] = {}
    lists: dict[str, list[Ref]] = {}

    def name(value: Json) -> Ref:
        blob = ordered_json(value)
        ref = ref_of(blob)
        blobs[ref] = blob
        return ref

    for key, value in span.attributes.items():
        if key in _LISTS and isinstance(value, list):
            lists[key] = [name(item) for item in value]
        elif _is_short(value):
            plain[key] = value
        else:
            contents[key] = name(value)
    get = span.attributes.get
    is_run = span.kind == "agent"
    event = received_event(
        at=span.start_ns,
        trajectory=_read_trajectory_id(span),
        span=span.span_id,
        trace=span.trace_id,
        kind=span.kind,
        name=span.name,
        parent=span.parent_id,
        ended=span.end_ns,
        state=span.status,
        plain=plain,
        contents=contents,
        lists=lists,
        agent=_text_or_none(get(s.AGENT)) or "",
        thread_id=_text_or_none(get(s.CONVERSATION)),
        user=_text_or_none(get(s.USER)),
        source=_text_or_none(get(s.SOURCE)) or "production",
        status=_read_status(span) if is_run else "",
        resumed=bool(get(s.RESUMED)),
        losses=get(s.LOSSES) or {},
    )
    return event, blobs


def restore_span(event: SpanReceived, blobs: Blobs) -> Span:
    """Join an event and its blobs to the span that was split."""
    attributes: Attributes = dict(event.plain)
    lost: Attributes = {}
    set_contents(lost, blobs, dict(event.contents))
    missing = lost.pop(s.LOSSES, None) if s.LOSSES not in event.contents else None
    attributes.update(lost)
    for key, refs in event.lists.items():
        values = blobs.values(refs)
        if values is None:
            count_missing(attributes)
        attributes[key] = values or []
    if missing:
        count_missing(attributes)
    return Span(
        trace_id=event.trace,
        span_id=event.span,
        parent_id=event.parent,
        kind=cast("SpanKind", event.kind),
        name=event.name,
        start_ns=event.at,
        end_ns=event.ended,
        status="error" if event.state == "error" else "ok" if event.state == "ok" else "unset",
        attributes=attributes,
        origin="received",
    )


def _read_trajectory_id(span: Span) -> str | None:
    named = _text_or_none(span.attributes.get(s.TRAJECTORY))
    if named is not None or span.kind == "fact":
        return named
    return span.trace_id


def _read_status(span: Span) -> str:
    named = span.attributes.get(s.STATUS)
    if isinstance(named, str):
        return named
    if span.end_ns is None:
        return "abandoned"
    return "failed" if span.status == "error" else "completed"


def _text_or_none(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _is_short(value: Json) -> bool:
    """Return True if MessagePack holds the value exactly and in few bytes."""
    if isinstance(value, str):
        return len(value) <= _SHORT and value.isascii()
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int):
        return -_INT64 <= value < _INT64
    return isinstance(value, float)
