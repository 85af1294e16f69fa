"""Add the attributes that other receivers display to a shipped span, and remove them when it returns.

`present_span` adds the names that Phoenix, MLflow, Langfuse and collectors show. `remove_additions`
restores the span exactly.
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


class PresentedSpan(NamedTuple):
    """Attributes and status of a span as receivers see them."""

    attributes: dict[str, Json]
    status: Status
    message: str  # the status message of a failure


def present_span(span: Span, *, inline: bool) -> PresentedSpan:
    """Return the span in the form that is shipped; `burnish.added` lists the additions.

    Args:
        span: A span of the journal.
        inline: True if content is shipped; texts are added only then.
    """
    added: dict[str, Json] = {}
    marks: list[str] = []
    status = span.status
    if span.kind == "tool" and span.attributes.get(s.IS_ERROR) and status != "error":
        marks.append(f"{_STATUS}{status}")
        status = "error"
        added[s.ERROR_TYPE] = _TOOL_ERROR
    added.update(_collect_names(span))
    if inline:
        added.update(_collect_texts(span))
    fresh = {key: value for key, value in added.items() if key not in span.attributes}
    attributes = {**span.attributes, **fresh}
    marks.extend(fresh)
    if inline and span.kind == "model" and _add_finish_reasons(attributes):
        marks.append(_FINISH)
    if marks:
        attributes[s.ADDED] = marks
    return PresentedSpan(attributes, status, _describe_failure(attributes, inline=inline))


def remove_additions(attributes: dict[str, Json], status: Status) -> Status:
    """Remove what `present_span` added; return the original status."""
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


def _describe_failure(attributes: dict[str, Json], *, inline: bool) -> str:
    """Return the status message of a failed span; for a tool that returned its error, that result."""
    if not inline:
        return str(attributes.get(s.ERROR_TYPE) or "")
    told = attributes.get(s.ERROR_MESSAGE)
    if told is None and attributes.get(s.IS_ERROR):
        told = attributes.get(s.TOOL_RESULT)
    return told if isinstance(told, str) else "" if told is None else ascii_json(told)


_MEMORIES = ("search_memory", "create_memory", "update_memory", "upsert_memory", "delete_memory")
_OPENINFERENCE_KINDS = {"invoke_workflow": "CHAIN", "retrieval": "RETRIEVER"} | dict.fromkeys(
    _MEMORIES, "CHAIN"
)


def _collect_names(span: Span) -> dict[str, Json]:
    """Return kinds, labels and counts, without content, under the names that other receivers read."""
    get = span.attributes.get
    found: dict[str, Json] = {}
    kind = _OPENINFERENCE_KINDS.get(str(get(s.OPERATION)))
    if span.kind == "node":
        kind = "CHAIN"
    elif get(s.FACT) in ("outcome", "verdict"):
        kind = "EVALUATOR"
    if kind is not None:
        found[s.OPENINFERENCE_KIND] = kind
    written = get(s.USAGE["cache_write_tokens"])
    if written is not None:
        found[s.CACHE_CREATION] = written
    success = get(s.SUCCESS)
    if isinstance(success, bool):
        found[s.LABEL] = "pass" if success else "fail"
    if get(s.TAGS):
        found[s.OPENINFERENCE_TAGS] = get(s.TAGS)
    return found


def _collect_texts(span: Span) -> dict[str, Json]:
    """Return content under the names that other receivers show."""
    if span.kind == "agent":
        return _present_conversation(span)
    if span.attributes.get(s.OPERATION) in ("retrieval", *_MEMORIES):
        return _present_access(span.attributes)
    if span.kind == "tool" and s.TOOL_ARGUMENTS in span.attributes:
        return {s.INPUT_VALUE: ascii_json(span.attributes[s.TOOL_ARGUMENTS])}
    return {}


def _present_access(attributes: dict[str, Json]) -> dict[str, Json]:
    """Return query and result of a retrieval or memory access, for receivers that read only text."""
    found: dict[str, Json] = {}
    query = attributes.get(s.RETRIEVAL_QUERY)
    if query is None and s.INPUT in attributes:
        query = ascii_json(attributes[s.INPUT])
    if query is not None:
        found[s.INPUT_VALUE] = query
    for name in (s.RETRIEVAL_DOCUMENTS, s.MEMORY_RECORDS, s.OUTPUT):
        if name in attributes:
            found[s.OUTPUT_VALUE] = ascii_json(attributes[name])
            found[s.OUTPUT_MIME] = "application/json"
            break
    documents = attributes.get(s.RETRIEVAL_DOCUMENTS)
    listed: list[Json] = documents if isinstance(documents, list) else []
    for place, document in enumerate(listed):
        text = document.get("content") if isinstance(document, dict) else None
        if isinstance(text, str):
            found[f"{s.OPENINFERENCE_DOCUMENTS}.{place}.document.content"] = text
    return found


def _present_conversation(span: Span) -> dict[str, Json]:
    """Return input and answer of a run, as messages and as the texts that trace lists show."""
    get = span.attributes.get
    found: dict[str, Json] = {}
    if s.INPUT in span.attributes:
        question = _extract_question(get(s.INPUT))
        found[s.INPUT_MESSAGES] = [_make_message("user", question)]
        found[s.INPUT_VALUE] = question
    answer = get(s.ANSWER)
    if isinstance(answer, str) and answer:
        found[s.OUTPUT_MESSAGES] = [_make_message("assistant", answer) | {_FINISH: "stop"}]
        found[s.OUTPUT_VALUE] = answer
    return found


def _make_message(role: str, text: str) -> dict[str, Json]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _extract_question(value: Json) -> str:
    """Return the last message of a run's input, or the whole input if it has no messages."""
    messages = value.get("messages") if isinstance(value, dict) else value
    last = messages[-1] if isinstance(messages, list) and messages else messages
    text = _extract_text(last)
    return ascii_json(value) if text is None else text


def _extract_text(item: Json) -> str | None:
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
    """Add to each output message the finish reason that older conventions require."""
    messages = attributes.get(s.OUTPUT_MESSAGES)
    if not isinstance(messages, list):
        return False
    if not all(isinstance(message, dict) and _FINISH not in message for message in messages):
        return False
    told = attributes.get(s.FINISH_REASONS)
    reason = told[0] if isinstance(told, list) and told else None
    attributes[s.OUTPUT_MESSAGES] = [
        {**message, _FINISH: reason or _guess_finish_reason(message)} for message in messages
    ]
    return bool(messages)


def _guess_finish_reason(message: dict[str, Any]) -> str:
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
