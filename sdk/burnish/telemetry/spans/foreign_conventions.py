"""Translate span attributes of other tools to the names of the GenAI conventions.

`translate_attributes` is the entry. Formats of a single tool belong to the importers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from burnish.records import Json
from burnish.telemetry import semconv as s

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

_ELSEWHERE = {
    s.CONVERSATION: ("session.id", "langfuse.session.id", "traceloop.association.properties.thread_id",
                     "traceloop.association.properties.session_id"),
    s.USER: ("enduser.id", "langfuse.user.id", "traceloop.association.properties.user_id"),
    s.PROVIDER: ("gen_ai.system",),
}  # fmt: skip
_ROOTS = ("invoke_agent", "invoke_workflow")


def translate_attributes(attributes: dict[str, Json], name: str) -> None:
    """Rename and reshape the attributes of another tool's span to the conventions.

    Args:
        attributes: Decoded attributes of the span; changed in place.
        name: Name of the span.
    """
    for key, others in _ELSEWHERE.items():
        found = next((attributes[other] for other in others if other in attributes), None)
        if found is not None:
            attributes.setdefault(key, found)
    for key in (s.INPUT_MESSAGES, s.OUTPUT_MESSAGES):
        if isinstance(attributes.get(key), list):
            attributes[key] = list(_merge_messages(attributes[key]))
    if isinstance(attributes.get(s.SYSTEM_INSTRUCTIONS), list):
        attributes[s.SYSTEM_INSTRUCTIONS] = list(
            map(_normalize_part, attributes[s.SYSTEM_INSTRUCTIONS])
        )
    if attributes.get(s.OPERATION) in _ROOTS:
        _describe_run(attributes, name)


def read_failure(attributes: dict[str, Json], span: ProtoSpan, said: dict[str, Json]) -> None:
    """Read the error type and message from the status and an exception event.

    Args:
        attributes: Attributes of the span; changed in place.
        span: The span as received.
        said: Attributes of its last exception event.
    """
    if span.status.code != 2:
        return
    kind = said.get("exception.type")
    if isinstance(kind, str) and kind:
        attributes.setdefault(s.ERROR_TYPE, kind)
    message = span.status.message or said.get("exception.message")
    if isinstance(message, str) and message:
        attributes.setdefault(s.ERROR_MESSAGE, message)


def _describe_run(attributes: dict[str, Json], name: str) -> None:
    """Set agent, input and answer of a run."""
    operation = str(attributes[s.OPERATION])
    if not attributes.get(s.AGENT):
        attributes[s.AGENT] = attributes.get(s.WORKFLOW) or name.removeprefix(operation).strip()
    if s.INPUT not in attributes:
        asked = attributes.get(s.INPUT_MESSAGES) or attributes.get(s.INPUT_VALUE)
        if asked:
            attributes[s.INPUT] = {"messages": asked} if isinstance(asked, list) else asked
    answer = _extract_answer(attributes.get(s.OUTPUT_MESSAGES)) or attributes.get(s.OUTPUT_VALUE)
    if isinstance(answer, str):
        attributes.setdefault(s.ANSWER, answer)


def _extract_answer(messages: Json) -> str | None:
    last = messages[-1] if isinstance(messages, list) and messages else None
    parts = last.get("parts") if isinstance(last, dict) else None
    texts = [
        part.get("content")
        for part in (parts if isinstance(parts, list) else ())
        if isinstance(part, dict) and part.get("type") == "text"
    ]
    return "".join(text for text in texts if isinstance(text, str)) or None


def _merge_messages(messages: list[Json]) -> Iterator[Json]:
    """Merge the parts of one reply into one message, and split off tool results.

    The Responses API sends a text and a call as two items; older pydantic-ai puts tool results
    into user messages.
    """
    held: Json = None
    for message in (
        other for given in messages for other in _split_tool_results(_normalize_message(given))
    ):
        if _is_reply(held) and _is_reply(message):
            held = {**held, **message, "parts": held["parts"] + message["parts"]}
            continue
        if held is not None:
            yield held
        held = message
    if held is not None:
        yield held


def _is_reply(message: Json) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") == "assistant"
        and isinstance(message.get("parts"), list)
    )


def _normalize_message(message: Json) -> Json:
    if not isinstance(message, dict):
        return message
    parts, content = message.get("parts"), message.get("content")
    if parts is None and isinstance(content, str):
        rest = {key: value for key, value in message.items() if key != "content"}
        return {**rest, "parts": [{"type": "text", "content": content}]}
    return (
        {**message, "parts": list(map(_normalize_part, parts))}
        if isinstance(parts, list)
        else message
    )


def _split_tool_results(message: Json) -> Iterator[Json]:
    parts = message.get("parts") if isinstance(message, dict) else None
    if not isinstance(parts, list) or message.get("role") != "user":
        yield message
        return
    results = [part for part in parts if _type_of(part) == "tool_call_response"]
    others = [part for part in parts if _type_of(part) != "tool_call_response"]
    for part in results:
        yield {**message, "role": "tool", "parts": [part]}
    if others or not results:
        yield {**message, "parts": others}


def _normalize_part(part: Json) -> Json:
    kind = _type_of(part)
    if kind == "thinking":
        content = part.get("content", part.get("thinking"))
        return {**part, "type": "reasoning", "content": content}
    if kind == "tool_call_response" and "response" not in part:
        value = part.get("result", part.get("content"))
        rest = {key: item for key, item in part.items() if key not in ("result", "content")}
        return {**rest, "response": value}
    return part


def _type_of(part: Json) -> Json:
    return part.get("type") if isinstance(part, dict) else None
