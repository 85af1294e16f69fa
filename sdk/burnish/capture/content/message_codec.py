"""Convert LangChain messages to the message form of `burnish.records`, and back, without loss.

It handles every message class of langchain-core and the content blocks of the providers.
`shared_content` caches and stores the results.

The form is that of the OpenTelemetry GenAI conventions. Data outside of the conventions is kept in
extra properties: `class` if the role does not determine it, `form: "blocks"` if the content was a
list, `block` on a part that was spelled differently, `id`, `name`, `status`, `artifact`,
`additional_kwargs`, `response_metadata`, `usage_metadata`, `tool_call_chunks`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from burnish.capture.content import block_codec
from burnish.records import Message

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "function",
    "remove": "remove",
    "HumanMessageChunk": "user",
    "AIMessageChunk": "assistant",
    "SystemMessageChunk": "system",
    "ToolMessageChunk": "tool",
    "FunctionMessageChunk": "function",
}
_CLASSES = {
    "ai": "AIMessage",
    "human": "HumanMessage",
    "system": "SystemMessage",
    "tool": "ToolMessage",
    "function": "FunctionMessage",
    "chat": "ChatMessage",
    "remove": "RemoveMessage",
}
_TOOL_KINDS = ("tool", "ToolMessageChunk")
_AI_KINDS = ("ai", "AIMessageChunk")
_PLAIN_KIND = {"user": "human", "assistant": "ai", "system": "system", "tool": "tool"}
_SHAPES = {
    kind: (role, None if _PLAIN_KIND.get(role) == kind else kind) for kind, role in _ROLES.items()
}  # the fields of a message class: the role, and the class if the role does not determine it
_OWN = frozenset(
    {
        "content", "type", "role", "additional_kwargs", "response_metadata", "tool_calls",
        "invalid_tool_calls", "tool_call_id",
    }
)  # fmt: skip
_PLAIN = {"status": "success", "example": False, "tool_call_chunks": []}  # treated as absent
_MEASURED = frozenset({"burnish", "logprobs"})


def encode_message(message: BaseMessage) -> Message:
    """Encode a message as a plain dict in the form of `burnish.records`; nothing is left out."""
    return _encode_fields(
        message.__dict__, message.__pydantic_extra__, message.__dict__["response_metadata"]
    )


def encode_for_storage(message: BaseMessage) -> Message:
    """Encode as `encode_message`, without the fields that the model call itself stores.

    Token ids and log-probabilities of a reply are in its ModelEnded event, not in each message.
    """
    fields = message.__dict__
    metadata = fields["response_metadata"]
    if metadata and not _MEASURED.isdisjoint(metadata):
        metadata = {key: value for key, value in metadata.items() if key not in _MEASURED}
    return _encode_fields(fields, message.__pydantic_extra__, metadata)


def _encode_fields(
    fields: Mapping[str, Any], extra: dict[str, Any] | None, metadata: Any
) -> Message:
    kind = fields["type"]
    role, named = _SHAPES.get(kind) or (fields.get("role", kind), kind)
    content = fields["content"]
    encoded: Message = {"role": role, "parts": []}
    if named is not None:
        encoded["class"] = named
    kwargs = fields["additional_kwargs"]
    if kind in _TOOL_KINDS:
        answer = {"type": "tool_call_response", "id": fields["tool_call_id"], "response": content}
        encoded["parts"].append(answer)
    else:
        if kwargs and isinstance(kwargs.get("reasoning_content"), str):
            kwargs = dict(kwargs)
            encoded["parts"].append(block_codec.reasoning_content(kwargs.pop("reasoning_content")))
        _add_content(encoded, content)
        _add_calls(encoded, fields)
    if kwargs:
        encoded["additional_kwargs"] = kwargs
    if metadata:
        encoded["response_metadata"] = metadata
    for name in _facts_among(tuple(fields)):
        value = fields[name]
        if value is not None and (name not in _PLAIN or value != _PLAIN[name]):
            encoded[name] = value
    if extra:
        encoded["extra"] = extra
    return encoded


def _add_content(encoded: Message, content: Any) -> None:
    if isinstance(content, str):
        if content:
            encoded["parts"].append({"type": "text", "content": content})
        return
    encoded["form"] = "blocks"
    encoded["parts"].extend(block_codec.encode_block(block) for block in content)


def _add_calls(encoded: Message, fields: Mapping[str, Any]) -> None:
    calls = fields.get("tool_calls")
    if calls:
        coded = list(map(block_codec.encode_call, calls))
        encoded["parts"] = block_codec.place_calls(encoded["parts"], coded)
    invalid = fields.get("invalid_tool_calls")
    if invalid:
        encoded["parts"].extend(block_codec.encode_invalid_call(call) for call in invalid)


@functools.lru_cache(maxsize=256)
def _facts_among(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the fields of a message that its record keeps under their own names."""
    return tuple(name for name in names if name not in _OWN)


def decode_message(encoded: Message) -> BaseMessage:
    """Return the message of `encode_message`."""
    from langchain_core import messages

    role = encoded["role"]
    kind = encoded.get("class") or _PLAIN_KIND[role]
    # A message is restored unchanged, without today's validators.
    fields = {
        name: value
        for name, value in encoded.items()
        if name not in ("role", "parts", "class", "form", "extra")
    }
    if kind in _TOOL_KINDS:
        (part,) = encoded["parts"]
        fields |= {"tool_call_id": part["id"], "content": part["response"]}
        fields.setdefault("artifact", None)
    else:
        fields["content"] = _decode_content(encoded)
        _restore_kwargs(fields, encoded["parts"])
    if kind in _AI_KINDS:
        fields["tool_calls"] = block_codec.decode_calls(encoded["parts"])
        fields["invalid_tool_calls"] = block_codec.decode_invalid_calls(encoded["parts"])
    if kind == "chat" or kind.startswith("ChatMessage"):
        fields["role"] = role
    made = getattr(messages, _CLASSES.get(kind, kind))
    return made.model_construct(**fields, **encoded.get("extra", {}))


def _decode_content(encoded: Message) -> Any:
    content = [part for part in encoded["parts"] if block_codec.is_content(part)]
    if encoded.get("form") == "blocks":
        return [block_codec.decode_block(part) for part in content]
    return content[0]["content"] if content else ""


def _restore_kwargs(fields: dict[str, Any], encoded: list[dict[str, Any]]) -> None:
    if encoded and encoded[0].get("block") == "reasoning_content":
        kwargs = {**fields.get("additional_kwargs", {}), "reasoning_content": encoded[0]["content"]}
        fields["additional_kwargs"] = kwargs


def text_of(message: Message) -> str:
    """Return the text of a message, without reasoning and calls."""
    return "".join(
        part["content"]
        for part in message["parts"]
        if part.get("type") == "text" and isinstance(part.get("content"), str)
    )


def said(message: BaseMessage) -> str:
    """Return the text of a LangChain message, without reasoning and calls."""
    content = message.__dict__["content"]
    if isinstance(content, str):
        return content
    texts = [block if isinstance(block, str) else _block_text(block) for block in content]
    return "".join(texts)


def _block_text(block: Any) -> str:
    if isinstance(block, dict) and block.get("type") == "text":
        text = block.get("text")
        return text if isinstance(text, str) else ""
    return ""
