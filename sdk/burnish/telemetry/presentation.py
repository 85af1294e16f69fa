"""Adds to a shipped span what other receivers look for, and takes it away when it comes back.

Knows: which names Phoenix, MLflow, Langfuse and collectors show, and that a shipped span must come
back exactly as it was. Does not know: OTLP (otlp), journal events (projection).
"""

from __future__ import annotations

import contextlib
from typing import Any, Literal, NamedTuple

from burnish.journal.events import ascii_json
from burnish.records import Json, Span
from burnish.telemetry import semconv as s

Status = Literal["unset", "ok", "error"]
_FINISH = "finish_reason"
_STATUS = "status="
_TOOL_ERROR = "tool_error"


class Presented(NamedTuple):
    """A span's attributes and status as receivers see them."""

    attributes: dict[str, Json]
    status: Status


def presented(span: Span, *, inline: bool) -> Presented:
    """The span as it is shipped; `burnish.added` names what was added.

    Args:
        span: A span of the journal.
        inline: Whether content is shipped; texts are only added then.
    """
    added: dict[str, Json] = {}
    marks: list[str] = []
    status = span.status
    if span.kind == "tool" and span.attributes.get(s.IS_ERROR) and status != "error":
        marks.append(f"{_STATUS}{status}")
        status = "error"
        added[s.ERROR_TYPE] = _TOOL_ERROR
    if span.kind == "node" or span.attributes.get(s.OPERATION) in _CHAINS:
        added[s.OPENINFERENCE_KIND] = "CHAIN"
    written = span.attributes.get(s.USAGE["cache_write_tokens"])
    if written is not None:
        added[s.CACHE_CREATION] = written
    if inline and span.kind == "agent":
        added.update(_conversation(span))
    fresh = {key: value for key, value in added.items() if key not in span.attributes}
    attributes = {**span.attributes, **fresh}
    marks.extend(fresh)
    if inline and span.kind == "model" and _add_finish_reasons(attributes):
        marks.append(_FINISH)
    if marks:
        attributes[s.ADDED] = marks
    return Presented(attributes, status)


def take_away(attributes: dict[str, Json], status: Status) -> Status:
    """Remove what `presented` added; returns the status that the span had."""
    marks = attributes.pop(s.ADDED, ())
    for mark in marks if isinstance(marks, (list, tuple)) else ():
        if mark == _FINISH:
            _remove_finish_reasons(attributes)
        elif isinstance(mark, str) and mark.startswith(_STATUS):
            told = mark.removeprefix(_STATUS)
            status = told if told in ("unset", "ok", "error") else status
        elif isinstance(mark, str):
            attributes.pop(mark, None)
    return status


_CHAINS = ("invoke_workflow", "search_memory", "create_memory", "update_memory", "upsert_memory",
           "delete_memory")  # fmt: skip


def _conversation(span: Span) -> dict[str, Json]:
    """Question and answer of a run, as messages and as the texts that lists of traces show."""
    get = span.attributes.get
    found: dict[str, Json] = {}
    if s.INPUT in span.attributes:
        question = _question(get(s.INPUT))
        found[s.INPUT_MESSAGES] = [_message("user", question)]
        found[s.INPUT_VALUE] = question
    answer = get(s.ANSWER)
    if isinstance(answer, str):
        found[s.OUTPUT_MESSAGES] = [_message("assistant", answer) | {_FINISH: "stop"}]
        found[s.OUTPUT_VALUE] = answer
    return found


def _message(role: str, text: str) -> dict[str, Json]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _question(value: Json) -> str:
    """The last message of a run's input; the whole input where it holds no messages."""
    messages = value.get("messages") if isinstance(value, dict) else value
    last = messages[-1] if isinstance(messages, list) and messages else messages
    text = _text_of(last)
    return ascii_json(value) if text is None else text


def _text_of(item: Json) -> str | None:
    if isinstance(item, str):
        return item
    if isinstance(item, list) and len(item) == 2 and isinstance(item[1], str):
        return item[1]
    if not isinstance(item, dict):
        return None
    content = item.get("content")
    if isinstance(content, str):
        return content
    parts = item.get("parts")
    texts = [part.get("content") for part in parts or () if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str)) or None


def _add_finish_reasons(attributes: dict[str, Json]) -> bool:
    """Give each output message the finish reason that older conventions require."""
    messages = attributes.get(s.OUTPUT_MESSAGES)
    if not isinstance(messages, list):
        return False
    if not all(isinstance(message, dict) and _FINISH not in message for message in messages):
        return False
    told = attributes.get(s.FINISH_REASONS)
    reason = told[0] if isinstance(told, list) and told else None
    attributes[s.OUTPUT_MESSAGES] = [
        {**message, _FINISH: reason or _reason_of(message)} for message in messages
    ]
    return bool(messages)


def _reason_of(message: dict[str, Any]) -> str:
    parts = message.get("parts")
    called = any(
        isinstance(part, dict) and part.get("type") == "tool_call"
        for part in (parts if isinstance(parts, list) else ())
    )
    return "tool_call" if called else "stop"


def _remove_finish_reasons(attributes: dict[str, Json]) -> None:
    messages = attributes.get(s.OUTPUT_MESSAGES)
    for message in messages if isinstance(messages, list) else ():
        with contextlib.suppress(AttributeError):
            message.pop(_FINISH, None)
