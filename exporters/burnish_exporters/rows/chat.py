"""Convert messages of a trajectory to the chat form that trainers and providers read.

`to_chat` writes a message of the GenAI conventions (`role` and `parts`) as an OpenAI chat message.
Reasoning and calls stay one assistant message, arguments are JSON strings, an empty observation
stays an empty text.
"""

from __future__ import annotations

import json
from typing import Any

from burnish.records import Json, Message
from burnish_exporters.rows.provider_blocks import (
    UnreadableBlock,
    read_prompt_parts,
    read_reply_parts,
)

Chat = dict[str, Any]

_encode_json = json.JSONEncoder(ensure_ascii=False).encode
_ROLES = {"system", "developer", "user", "assistant", "tool"}
_MEDIA = {"image", "audio", "video", "file", "document", "media", "blob"}
_SOURCES = {
    "base64", "url", "file_id", "data", "source", "source_type", "image_url", "input_audio", "file",
    "audio", "image", "content", "id", "mime_type",
}  # fmt: skip
_AUDIO = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


class Unrenderable(ValueError):
    """A message that the chat form cannot hold; its text is the reason that is counted."""


def to_chat(message: Message) -> list[Chat]:
    """Convert a message to chat form; a tool message with several results becomes several messages.

    Raises:
        Unrenderable: If the chat form cannot hold a role or part.
    """
    role, parts = message.get("role"), message.get("parts") or []
    if role not in _ROLES:
        raise Unrenderable(f"malformed: message role {role!r}")
    if role == "assistant":
        return [_assistant_chat(message, parts)]
    if role == "tool":
        return [_tool_result(part) for part in parts]
    chat: Chat = {"role": role, "content": _chat_content(parts)}
    if message.get("name"):
        chat["name"] = message["name"]
    return [chat]


def arguments_text(part: dict[str, Json]) -> str:
    """Return the arguments of a call as one JSON string, as the model wrote them if that is known."""
    raw, arguments = part.get("raw_arguments"), part.get("arguments")
    if isinstance(raw, str) and raw.strip():
        return raw
    if isinstance(arguments, str):
        return arguments
    return _encode_json({} if arguments is None else arguments)


def _assistant_chat(message: Message, parts: list[dict[str, Json]]) -> Chat:
    """Join text, reasoning and calls of one reply in one message."""
    texts, thoughts, calls = [], [], []
    try:
        parts = read_reply_parts(parts)
    except UnreadableBlock as problem:
        raise Unrenderable(f"malformed: {problem}") from problem
    for part in parts:
        kind = part.get("type")
        if kind == "text":
            texts.append(part.get("content") or "")
        elif kind == "reasoning":
            thoughts.append(part.get("content") or "")
        elif kind in ("tool_call", "invalid_tool_call"):
            calls.append(_chat_call(part))
        else:
            raise Unrenderable(f"malformed: {kind} in an assistant message")
    chat: Chat = {"role": "assistant", "content": "".join(texts)}
    if thoughts:
        chat["reasoning_content"] = "".join(thoughts)
    if calls:
        chat["tool_calls"] = calls
    if message.get("name"):
        chat["name"] = message["name"]
    return chat


def _chat_call(part: dict[str, Json]) -> Chat:
    name, call_id = part.get("name"), part.get("id")
    if not name or not call_id:
        raise Unrenderable("malformed: tool call without name or id")
    function = {"name": name, "arguments": arguments_text(part)}
    return {"id": call_id, "type": "function", "function": function}


def _tool_result(part: dict[str, Json]) -> Chat:
    if part.get("type") != "tool_call_response":
        raise Unrenderable(f"malformed: {part.get('type')} in a tool message")
    if not part.get("id"):
        raise Unrenderable("malformed: tool result without call id")
    chat: Chat = {
        "role": "tool",
        "tool_call_id": part["id"],
        "content": _result_text(part.get("response")),
    }
    if part.get("name"):
        chat["name"] = part["name"]
    return chat


def _result_text(response: Json) -> str:
    """Return a result as text: text stays, text blocks are joined, data is JSON.

    Raises:
        Unrenderable: If it holds an image or another medium, which text cannot replace.
    """
    if response is None or response == []:
        return ""
    if isinstance(response, str):
        return response
    blocks = response if isinstance(response, list) else [response]
    if medium := next(filter(None, map(_media_kind, blocks)), None):
        raise Unrenderable(f"malformed: {medium} in a tool result")
    if isinstance(response, list) and all(_is_text(item) for item in response):
        return "".join(item.get("text") or item.get("content") or "" for item in response)
    return _encode_json(response)


def _media_kind(item: Json) -> str | None:
    """Return the kind of a media block, as LangChain, OpenAI, Anthropic and the conventions write it; None for data."""
    if not isinstance(item, dict):
        return None
    kind = str(item.get("type")).removeprefix("input_").removesuffix("_url")
    if kind in _MEDIA and item.keys() & _SOURCES:
        return kind
    modality = item.get("modality")
    return str(modality) if kind in ("blob", "uri") and modality else None


def _is_text(item: Json) -> bool:
    return isinstance(item, dict) and item.get("type") == "text"


def _chat_content(parts: list[dict[str, Json]]) -> str | list[Chat]:
    parts = read_prompt_parts(parts)
    if all(part.get("type") == "text" for part in parts):
        return "".join(part.get("content") or "" for part in parts)
    return [_chat_block(part) for part in parts]


def _chat_block(part: dict[str, Json]) -> Chat:
    """Convert one part of a message that holds more than text."""
    kind, mime = part.get("type"), str(part.get("mime_type") or "")
    if kind == "text":
        return {"type": "text", "text": part.get("content") or ""}
    image = part.get("modality") == "image" or mime.startswith("image/")
    if kind == "uri" and image:
        return {"type": "image_url", "image_url": {"url": part.get("uri")}}
    if kind == "blob" and image:
        url = f"data:{mime or 'image/png'};base64,{part.get('content')}"
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "blob" and mime in _AUDIO:
        audio = {"data": part.get("content"), "format": _AUDIO[mime]}
        return {"type": "input_audio", "input_audio": audio}
    raise Unrenderable(f"malformed: message part of type {kind}")
