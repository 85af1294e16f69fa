"""Convert conversations of LangChain and of the records to OpenAI chat form.

In chat form `{"role", "content", "tool_calls"?, "tool_call_id"?}` the arguments of a tool call are
objects. A malformed call of an earlier answer is sent as the text that the model wrote.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from burnish.errors import ServingError
from burnish.records import Json, Message, Tool

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}


def from_langchain(messages: Sequence[BaseMessage]) -> list[dict[str, Json]]:
    """Convert LangChain's messages to chat form.

    Raises:
        ServingError: If a message holds content other than text.
    """
    return [_from_langchain(message) for message in messages]


def from_records(messages: Iterable[Message]) -> list[dict[str, Json]]:
    """Convert messages of the records' form (`parts`) to chat form; chat form is unchanged."""
    chat: list[dict[str, Json]] = []
    for message in messages:
        if "parts" not in message:
            chat.append(_with_objects(message))
        elif message["role"] == "tool":
            chat.extend(_render_result(part) for part in message["parts"])
        else:
            chat.append(_from_parts(message))
    return chat


def tools_from_records(tools: Iterable[Tool]) -> list[dict[str, Json]]:
    """Convert tools of the records' form to OpenAI's `{"type": "function", "function": {...}}`."""
    return [
        tool
        if "function" in tool
        else {
            "type": "function",
            "function": {key: value for key, value in tool.items() if key != "type"},
        }
        for tool in tools
    ]


def text_of(content: Json) -> str:
    """Return the text of a message's content.

    Raises:
        ServingError: If it holds content other than text.
    """
    if content is None or isinstance(content, str):
        return content or ""
    texts: list[str] = []
    for block in content:
        if isinstance(block, str):
            texts.append(block)
        elif block.get("type") in ("text", "input_text", "output_text"):
            texts.append(block.get("text", ""))
        elif block.get("type") not in ("tool_call", "tool_use", "reasoning", "thinking"):
            raise ServingError(
                f"a message holds content of the kind {block.get('type')!r}",
                "text, which is all that the embedded engine reads",
                "route this agent to a model that reads it",
            )
    return "".join(texts)


def chat_call(identity: str | None, name: str, arguments: Json) -> dict[str, Json]:
    """Build one tool call in chat form."""
    function = {"name": name, "arguments": arguments}
    return {"id": identity or "", "type": "function", "function": function}


def _from_langchain(message: BaseMessage) -> dict[str, Json]:
    role = _ROLES.get(message.type) or getattr(message, "role", None) or message.type
    chat: dict[str, Json] = {"role": role, "content": text_of(message.content)}
    if message.name:
        chat["name"] = message.name
    if message.type == "tool":
        chat["tool_call_id"] = getattr(message, "tool_call_id", "")
    reasoning = message.additional_kwargs.get("reasoning_content")
    if reasoning:
        chat["reasoning_content"] = reasoning
    calls = getattr(message, "tool_calls", None) or []
    if calls:
        chat["tool_calls"] = [chat_call(c.get("id"), c["name"], c["args"]) for c in calls]
    for call in getattr(message, "invalid_tool_calls", None) or []:
        chat["content"] += call.get("args") or ""
    return chat


def _from_parts(message: Message) -> dict[str, Json]:
    chat: dict[str, Json] = {"role": message["role"], "content": ""}
    calls: list[dict[str, Json]] = []
    for part in message["parts"]:
        kind = part.get("type")
        if kind == "text":
            chat["content"] += part.get("content") or ""
        elif kind == "reasoning":
            chat["reasoning_content"] = chat.get("reasoning_content", "") + part["content"]
        elif kind == "tool_call":
            calls.append(chat_call(part.get("id"), part["name"], part.get("arguments", {})))
        else:
            raise ServingError(
                f"a message holds a part of the kind {kind!r}", "text, reasoning and tool calls", ""
            )
    if message.get("name"):
        chat["name"] = message["name"]
    if calls:
        chat["tool_calls"] = calls
    return _with_objects(chat)


def _render_result(part: dict[str, Any]) -> dict[str, Json]:
    response = part.get("response")
    text = response if isinstance(response, str) else json.dumps(response, ensure_ascii=False)
    return {"role": "tool", "tool_call_id": part.get("id") or "", "content": text}


def _with_objects(message: dict[str, Json]) -> dict[str, Json]:
    """Decode arguments of tool calls in chat form to objects, if they are JSON text."""
    if not message.get("tool_calls"):
        return {**message, "content": text_of(message.get("content"))}
    calls = []
    for call in message["tool_calls"]:
        function = dict(call["function"])
        if isinstance(function.get("arguments"), str):
            with contextlib.suppress(ValueError):  # otherwise the template receives the text
                function["arguments"] = json.loads(function["arguments"] or "{}")
        calls.append({**call, "function": function})
    return {**message, "content": text_of(message.get("content")), "tool_calls": calls}


def to_wire(messages: Iterable[dict[str, Json]]) -> list[dict[str, Json]]:
    """Encode the arguments of tool calls in chat form as JSON text, the form sent over HTTP."""
    return [
        {**message, "tool_calls": [_with_text(call) for call in message["tool_calls"]]}
        if message.get("tool_calls")
        else message
        for message in messages
    ]


def _with_text(call: dict[str, Json]) -> dict[str, Json]:
    arguments = call["function"].get("arguments")
    if isinstance(arguments, str):
        return call
    text = json.dumps(arguments, ensure_ascii=False)
    return {**call, "function": {**call["function"], "arguments": text}}
