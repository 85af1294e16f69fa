"""Convert content blocks and tool calls to parts of the records' message form, and back.

`encode_block` and `decode_block` handle blocks as LangChain and the providers spell them.

A block that the conventions define is spelled in their form and keeps its own spelling in `block`;
any other is kept unchanged, or inside `{"type": "verbatim", "value": ...}` if it looks like a part
of the conventions.
"""

from __future__ import annotations

from typing import Any

from burnish.journal.events import canonical

Part = dict[str, Any]

_RESERVED = frozenset(
    {
        "text", "reasoning", "blob", "uri", "file", "tool_call", "tool_call_response",
        "invalid_tool_call", "verbatim",
    }
)  # fmt: skip
_CALL_KEYS = frozenset({"name", "args", "id", "type"})
_INVALID_KEYS = frozenset({"name", "args", "id", "error", "type"})
_NEVER_CONTENT = ("tool_call", "invalid_tool_call")


def encode_block(block: Any) -> Part:
    """Encode one element of a content list."""
    if isinstance(block, str):
        return {"type": "text", "content": block, "block": "bare"}
    if not isinstance(block, dict):
        return {"type": "verbatim", "value": block}
    kind = block.get("type")
    coder = _ENCODERS.get(kind) if isinstance(kind, str) else None
    part = coder(block) if coder and "content" not in block and "block" not in block else None
    if part is not None:
        return part
    if not isinstance(kind, str) or kind in _RESERVED or "block" in block:
        return {"type": "verbatim", "value": block}
    return block


def decode_block(part: Part) -> Any:
    """Return the block of `encode_block`."""
    kind, block = part["type"], part.get("block")
    if kind == "verbatim":
        return part["value"]
    if kind == "text":
        return part["content"] if block == "bare" else _rename_field(part, "content", "text")
    if kind == "reasoning":
        word = "thinking" if block == "thinking" else "reasoning"
        return {**_rename_field(part, "content", word), "type": word}
    if kind == "tool_call":
        call = {"id": part["id"], "name": part["name"], "args": part["arguments"]}
        return {**call, **part["block"], "type": kind}
    if kind in _FIELDS and block is not None:
        return _decode_media(part)
    return part


def is_content(part: Part) -> bool:
    """Return whether the part is a piece of the message's content."""
    block = part.get("block")
    if part.get("type") in _NEVER_CONTENT:
        return block is not None
    return block != "reasoning_content"


def place_calls(content: list[Part], calls: list[Part]) -> list[Part]:
    """Join content and tool calls.

    A call that the content contains too, as in LangChain's v1, occurs once.
    """
    shown = [part["value"] for part in content if _shows_call(part)]
    placed = [_place_call(block, call) for block, call in zip(shown, calls, strict=False)]
    if not placed or len(shown) != len(calls) or None in placed:
        return [*content, *calls]
    ready = iter(placed)
    return [(next(ready) or part) if _shows_call(part) else part for part in content]


def _shows_call(part: Part) -> bool:
    value = part["value"] if part["type"] == "verbatim" else None
    return isinstance(value, dict) and value.get("type") == "tool_call"


def _place_call(block: Part, call: Part) -> Part | None:
    """Return the call with the further fields of its block; None if they differ."""
    rest = {key: value for key, value in block.items() if key not in _CALL_KEYS}
    try:
        said = canonical([block["id"], block["name"], block["args"]])
        same = said == canonical([call["id"], call["name"], call["arguments"]])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return {**call, "block": rest} if same else None


def reasoning_content(text: str) -> Part:
    """Return the part of reasoning that was outside of the content, in `additional_kwargs`."""
    return {"type": "reasoning", "content": text, "block": "reasoning_content"}


def encode_call(call: dict[str, Any]) -> Part:
    """Encode a tool call of the model."""
    part: Part = {"type": "tool_call", "name": call["name"], "arguments": call["args"]}
    if call.get("id") is not None:
        part["id"] = call["id"]
    if not call.keys() <= _CALL_KEYS:
        part["extra"] = {key: value for key, value in call.items() if key not in _CALL_KEYS}
    return part


def decode_calls(encoded: list[Part]) -> list[dict[str, Any]]:
    """Return the tool calls among the parts of a message."""
    return [
        {
            "name": part["name"],
            "args": part["arguments"],
            "id": part.get("id"),
            "type": "tool_call",
            **part.get("extra", {}),
        }
        for part in encoded
        if part.get("type") == "tool_call"
    ]


def encode_invalid_call(call: dict[str, Any]) -> Part:
    """Encode a tool call with unreadable arguments; they stay the string that the model wrote."""
    part: Part = {"type": "invalid_tool_call", "arguments": call.get("args")}
    for name in ("name", "id", "error"):
        if call.get(name) is not None:
            part[name] = call[name]
    if not call.keys() <= _INVALID_KEYS:
        part["extra"] = {key: value for key, value in call.items() if key not in _INVALID_KEYS}
    return part


def decode_invalid_calls(encoded: list[Part]) -> list[dict[str, Any]]:
    """Return the unreadable tool calls among the parts of a message."""
    return [
        {
            "name": part.get("name"),
            "args": part["arguments"],
            "id": part.get("id"),
            "error": part.get("error"),
            "type": "invalid_tool_call",
            **part.get("extra", {}),
        }
        for part in encoded
        if part.get("type") == "invalid_tool_call"
    ]


def _rename_field(part: Part, old: str, new: str) -> Part:
    rest = {key: value for key, value in part.items() if key not in (old, "block")}
    return {**rest, new: part[old]}


def _text_part(block: Part) -> Part | None:
    if not isinstance(block.get("text"), str):
        return None
    return _rename_field(block, "text", "content")


def _reasoning_part(block: Part) -> Part | None:
    if not isinstance(block.get("reasoning"), str):
        return None
    return _rename_field(block, "reasoning", "content")


def _thinking_part(block: Part) -> Part | None:
    if not isinstance(block.get("thinking"), str):
        return None
    return {**_rename_field(block, "thinking", "content"), "type": "reasoning", "block": "thinking"}


def _image_url(block: Part) -> Part | None:
    image = block.get("image_url")
    if block.keys() != {"type", "image_url"} or not isinstance(image, dict):
        return None
    url = image.get("url")
    if not isinstance(url, str) or not image.keys() <= {"url", "detail"}:
        return None
    part: Part = {"type": "uri", "modality": "image", "uri": url, "block": "image_url"}
    head, comma, data = url.partition(";base64,")
    if comma and head.startswith("data:"):
        part = {"type": "blob", "modality": "image", "mime_type": head[5:], "content": data,
                "block": "image_url"}  # fmt: skip
    if "detail" in image:
        part["detail"] = image["detail"]
    return part


def _media_part(block: Part) -> Part | None:
    """Encode a block of LangChain's that holds, links or names an image, audio, video or file."""
    older = "source_type" in block
    given = [_OLDER.get(block["source_type"], "")] if older else [k for k in _NEWER if k in block]
    if len(given) != 1 or not isinstance(block.get(given[0]), str) or block.keys() & _MEDIA_KEYS:
        return None
    kind, source = block["type"], _SOURCES[given[0]]
    part = _rename_field(block, given[0], _FIELDS[source])
    return {**part, "type": source, "modality": _MODALITIES[kind], "block": kind}


def _decode_media(part: Part) -> Part:
    if part["block"] in _MODALITIES:
        keys = _OLDER.values() if "source_type" in part else _NEWER
        source = next(key for key in keys if _SOURCES[key] == part["type"])
        block = _rename_field(part, _FIELDS[part["type"]], source)
        del block["modality"]
        return {**block, "type": part["block"]}
    if part["type"] == "blob":
        url = f"data:{part['mime_type']};base64,{part['content']}"
    else:
        url = part["uri"]
    detail = {"detail": part["detail"]} if "detail" in part else {}
    return {"type": "image_url", "image_url": {"url": url, **detail}}


_NEWER = ("base64", "url", "file_id")
_OLDER = {"base64": "data", "url": "url", "id": "id"}  # by `source_type`
_SOURCES = {"base64": "blob", "data": "blob", "url": "uri", "file_id": "file", "id": "file"}
_FIELDS = {"blob": "content", "uri": "uri", "file": "file_id"}
_MEDIA_KEYS = frozenset({"modality", "content", "uri", "block"})
_MODALITIES = {"image": "image", "audio": "audio", "video": "video", "file": "document"}
_ENCODERS = {
    "text": _text_part,
    "reasoning": _reasoning_part,
    "thinking": _thinking_part,
    "image_url": _image_url,
    **dict.fromkeys(_MODALITIES, _media_part),
}
