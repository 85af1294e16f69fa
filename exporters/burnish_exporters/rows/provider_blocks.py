"""Read content blocks of providers as parts of the GenAI conventions.

Chat models of LangChain keep in a message's content what the provider sent: a block that repeats a
tool call, reasoning with its signature, a refusal. `read_reply_parts` turns the parts of an
assistant message into text, reasoning and calls, so that a row holds each of them once. The
journal keeps the blocks as they came; only rows use this reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from burnish.records import Json

Part = dict[str, Any]

_PLAIN = frozenset({"text", "reasoning", "tool_call", "invalid_tool_call"})
# How providers name the id of a call in a block that repeats it: Anthropic and Bedrock, OpenAI's
# Responses API, Bedrock's own wire form, LangChain's standard blocks.
_CALL_IDS = {
    "tool_use": "id",
    "function_call": "call_id",
    "custom_tool_call": "call_id",
    "tool_call": "id",
    "tool_call_chunk": "id",
    "invalid_tool_call": "id",
    "toolUse": "toolUseId",
}
# Blocks without anything that a model could learn to write: sealed reasoning, marks of streams.
_SEALED = frozenset(
    {
        "redacted_thinking", "function_call_signature", "thought_signature", "input_json_delta",
        "signature_delta", "cachePoint", "cache_point",
    }
)  # fmt: skip


class UnreadableBlock(ValueError):
    """A block that no row can hold; its text names the block."""


def read_reply_parts(parts: list[Part]) -> list[Part]:
    """Return an assistant's parts as text, reasoning and calls.

    A block that repeats a call of the same message is left out, thoughts become reasoning, sealed
    thoughts are left out, a refusal is text.

    Raises:
        UnreadableBlock: If a block is anything else, such as an image or a tool that the provider
            ran itself.
    """
    if all(part.get("type") in _PLAIN for part in parts):
        return parts
    known = {
        part.get("id") for part in parts if part.get("type") in ("tool_call", "invalid_tool_call")
    }
    return [read for part in parts for read in _read_part(part, known)]


def read_prompt_parts(parts: list[Part]) -> list[Part]:
    """Return the parts of a system or user message with media in the form of the conventions.

    A block of an unknown kind is kept; the renderer decides about it.
    """
    return [read for part in parts for read in _read_prompt(part)]


def _read_prompt(part: Part) -> Iterator[Part]:
    kind = part.get("type")
    value = part.get("value")
    if kind in ("verbatim", "non_standard") and isinstance(value, (dict, str)):
        part = {"type": "text", "text": value} if isinstance(value, str) else value
        kind = part.get("type")
    if kind in ("cachePoint", "cache_point"):
        return
    if kind in ("text", "input_text") and "content" not in part:
        yield _read_text(part)
        return
    yield (_read_image(part) if kind in ("image", "input_image", "media") else None) or part


def _read_image(part: Part) -> Part | None:
    """Return an image of Anthropic, the Responses API or Google as a blob or URI, else None."""
    source = part.get("source")
    if not isinstance(source, dict):
        source = part
    kind = source.get("media_type") or source.get("mime_type") or "image/png"
    if not str(kind).startswith("image/"):
        return None
    data = source.get("data")
    if isinstance(data, str):
        return {"type": "blob", "modality": "image", "mime_type": kind, "content": data}
    names = ("url", "image_url", "file_uri")
    url = next((source[name] for name in names if isinstance(source.get(name), str)), None)
    return None if url is None else {"type": "uri", "modality": "image", "uri": url}


def _read_part(part: Part, known: set[Any]) -> Iterator[Part]:
    kind = part.get("type")
    if kind in _PLAIN and not isinstance(part.get("summary"), list):
        yield part
        return
    if kind in ("verbatim", "non_standard"):
        yield from _read_inner(part.get("value"), known)
        return
    if len(part) == 1 and kind is None:  # Bedrock's wire form: {"toolUse": {...}}
        (kind,) = part
        inner = part[kind]
        part = {**inner, "type": kind} if isinstance(inner, dict) else part
    if kind in _CALL_IDS:
        _check_repeats(part, str(kind), known)
        return
    if kind in _SEALED:
        return
    reader = _READERS.get(str(kind))
    if reader is None:
        raise UnreadableBlock(f"{kind} in an assistant message")
    read = reader(part)
    if read is not None:
        yield read


def _read_inner(value: Any, known: set[Any]) -> Iterator[Part]:
    """Read a wrapped value: a block, or a bare text."""
    if isinstance(value, str):
        yield {"type": "text", "content": value}
    elif isinstance(value, dict) and value.get("type") != "verbatim":
        yield from _read_part(value, known)
    else:
        raise UnreadableBlock(f"{type(value).__name__} in an assistant message")


def _check_repeats(part: Part, kind: str, known: set[Any]) -> None:
    if part.get(_CALL_IDS[kind]) not in known:
        raise UnreadableBlock(f"{kind} without its call in an assistant message")


def _read_thought(part: Part) -> Part | None:
    """Return a thought in any provider's spelling as reasoning; None if it is empty."""
    for name in (
        "thinking",
        "reasoning",
        "reasoning_content",
        "reasoningText",
        "summary",
        "content",
    ):
        text = _join_texts(part.get(name))
        if text:
            return {"type": "reasoning", "content": text}
    return None


def _join_texts(value: Json) -> str:
    """Return the text of a string, of a block or of a list of blocks."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        inner = value.get("text", value.get("reasoningText"))
        return _join_texts(inner) if inner is not value else ""
    if isinstance(value, list):
        return "\n\n".join(filter(None, map(_join_texts, value)))
    return ""


def _read_text(part: Part) -> Part:
    """Return a text block in a provider's spelling as a text part."""
    text = next((part[name] for name in ("text", "content") if isinstance(part.get(name), str)), "")
    return {"type": "text", "content": text}


def _read_refusal(part: Part) -> Part | None:
    return {"type": "text", "content": str(part.get("refusal") or "")}


_READERS: dict[str, Callable[[Part], Part | None]] = {
    "text": _read_text,
    "output_text": _read_text,
    "refusal": _read_refusal,
    **dict.fromkeys(
        ("thinking", "reasoning", "reasoning_content", "reasoningContent", "thought"), _read_thought
    ),
}
