"""Convert messages of the OpenAI chat form to the records' message form, and back.

It handles role, content, tool_calls, tool_call_id and the fields that servers add.
"""

from __future__ import annotations

import json
from typing import Any

from burnish.capture.content import block_codec
from burnish.records import Message

_KNOWN = frozenset({"role", "content", "tool_calls", "tool_call_id"})


def encode_chat(message: Any) -> Message:
    """Encode a message in any usual form: records, OpenAI's dict, LangChain's object or a text."""
    if isinstance(message, str):
        return {"role": "user", "parts": [{"type": "text", "content": message}]}
    if not isinstance(message, dict):
        return _encode_object(message)
    role = message.get("role", "user")
    if isinstance(message.get("parts"), list) and isinstance(role, str):
        return message
    encoded: Message = {"role": role, "parts": [], "class": "chat_form"}
    if not isinstance(role, str):
        return {**encoded, "role": "unknown", "parts": [_verbatim_part(message, "message")]}
    content = message.get("content")
    if encoded["role"] == "tool":
        encoded["parts"].append(
            {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": content}
        )
    else:
        _add_content(encoded, message, content)
        calls = message.get("tool_calls") or ()
        listed = calls if isinstance(calls, (list, tuple)) else (calls,)
        encoded["parts"] += [_encode_call(call) for call in listed]
    if message.get("tool_calls") == []:
        encoded["tool_calls"] = []
    encoded |= {key: value for key, value in message.items() if key not in _KNOWN}
    return encoded


def _encode_object(message: Any) -> Message:
    if hasattr(message, "additional_kwargs"):
        from burnish.capture.content.message_codec import encode_message

        return encode_message(message)
    if hasattr(message, "model_dump"):  # a message of the openai package
        return encode_chat(message.model_dump(exclude_unset=True))
    return {"role": "user", "parts": [_verbatim_part(message, "message")]}


def _verbatim_part(value: Any, block: str) -> block_codec.Part:
    """Return a part that keeps a value without a place in the form."""
    return {"type": "verbatim", "value": value, "block": block}


def _add_content(encoded: Message, message: dict[str, Any], content: Any) -> None:
    if isinstance(content, str):
        encoded["parts"].append({"type": "text", "content": content})
    elif isinstance(content, list):
        encoded["form"] = "blocks"
        encoded["parts"] += [block_codec.encode_block(block) for block in content]
    elif content is not None:
        encoded["parts"].append(_verbatim_part(content, "content"))
    elif "content" in message:
        encoded["form"] = "null"


def _encode_call(call: Any) -> block_codec.Part:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return _verbatim_part(call, "call")
    raw = function.get("arguments")
    part: block_codec.Part = {
        "type": "tool_call",
        "name": function.get("name"),
        "raw_arguments": raw,
    }
    part["arguments"] = parsed_arguments(raw)
    if "id" in call:
        part["id"] = call["id"]
    rest = {key: value for key, value in call.items() if key not in ("id", "function")}
    more = {key: value for key, value in function.items() if key not in ("name", "arguments")}
    if rest != {"type": "function"} or more:
        part["extra"] = {"call": rest, "function": more}
    return part


def parsed_arguments(raw: Any) -> Any:
    """Parse arguments that a model wrote as JSON; return them unchanged if they are not JSON."""
    if not isinstance(raw, str):
        return raw
    try:
        return json.loads(raw)
    except ValueError:
        return raw


def read_call(name: Any, call_id: Any, raw: str) -> dict[str, Any]:
    """Return the part of a call whose arguments a model wrote; unreadable ones are marked."""
    part: dict[str, Any] = {"type": "tool_call"}
    part |= {key: value for key, value in (("id", call_id), ("name", name)) if value is not None}
    try:
        arguments = json.loads(raw) if raw.strip() else {}
    except ValueError:
        arguments = None
    if isinstance(arguments, dict):
        return {**part, "arguments": arguments, "raw_arguments": raw}
    return {**part, "type": "invalid_tool_call", "arguments": raw}


def decode_chat(encoded: Message) -> dict[str, Any]:
    """Return the message of `encode_chat` as it was passed in the OpenAI form."""
    message = {
        key: value
        for key, value in encoded.items()
        if key not in ("role", "parts", "class", "form", "tool_calls")
    }
    message["role"] = encoded["role"]
    if encoded["role"] == "tool":
        (part,) = encoded["parts"]
        message |= {"tool_call_id": part["id"], "content": part["response"]}
        return message
    content = [part for part in encoded["parts"] if _is_content(part)]
    if encoded.get("form") == "blocks":
        message["content"] = [block_codec.decode_block(part) for part in content]
    elif encoded.get("form") == "null":
        message["content"] = None
    elif content:
        message["content"] = content[0]["content"]
    calls = [_decode_call(part) for part in encoded["parts"] if not _is_content(part)]
    if calls or "tool_calls" in encoded:
        message["tool_calls"] = calls
    return message


def _is_content(part: block_codec.Part) -> bool:
    return block_codec.is_content(part) and part.get("block") != "call"


def _decode_call(part: block_codec.Part) -> dict[str, Any]:
    if part["type"] == "verbatim":
        return part["value"]
    extra = part.get("extra") or {"call": {"type": "function"}, "function": {}}
    call = {**extra["call"]}
    if "id" in part:
        call["id"] = part["id"]
    function = {"name": part["name"], "arguments": part["raw_arguments"], **extra["function"]}
    return {**call, "function": function}
