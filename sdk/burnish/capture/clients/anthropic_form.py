"""Convert requests and replies of Anthropic's Messages API to the records' form.

`MessageExchange` reads system prompts, content blocks, tool results inside user messages, and the
events of a stream.

A reply is stored as LangChain's chat model stores it, so that both give the same row: thoughts with
their signatures, encrypted thoughts and tools of the provider unchanged, calls as calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from burnish.capture.clients.exchanges import Exchange, as_data, as_list
from burnish.capture.content import block_codec
from burnish.capture.content.chat_form import read_call
from burnish.capture.manual_calls import HandwrittenModelCall
from burnish.records import Message

_MODALITIES = {"image": "image", "document": "document"}
_CALL = frozenset({"type", "id", "name", "input"})
_EXTRAS = ("stop_sequence", "stop_details", "container", "context_management")
# The API counts cached prompt tokens, read or written, separately from the rest of the prompt.
_READ = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_GROWING = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


class MessageExchange(Exchange):
    """One request to `/v1/messages` and its reply."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__(body)
        self._blocks: dict[int, _Block] = {}  # by their index
        self._tokens: dict[str, Any] = {}

    def asked(self) -> HandwrittenModelCall:
        """Return the call that the request makes."""
        given = {key: as_data(value) for key, value in self.body.items()}
        messages = list(
            _prompt_messages(given.pop("system", None), as_list(given.pop("messages", ())))
        )
        wanted = given.get("output_format") or (given.get("output_config") or {}).get("format")
        if wanted is not None:
            given["response_format"] = wanted
        return HandwrittenModelCall.of_body(messages, "anthropic", given)

    def add(self, piece: Mapping[str, Any]) -> str:
        """Add a whole message or the next event of a stream; return the text that it adds."""
        kind = piece.get("type")
        if kind == "content_block_delta":
            block = self._blocks.get(piece["index"])
            return "" if block is None else block.grow(piece["delta"])
        if kind == "content_block_start":
            self._blocks[piece["index"]] = block = _Block(piece["content_block"])
            return block.text
        if kind == "message_start":
            self._top(piece["message"])
        elif kind == "message_delta":
            self._end(piece["delta"], piece.get("usage"))
        elif kind == "message":
            self._top(piece)
            self._blocks = {n: _Block(block) for n, block in enumerate(piece.get("content") or ())}
        return "".join(block.text for block in self._blocks.values()) if kind == "message" else ""

    def _top(self, message: Mapping[str, Any]) -> None:
        self.note(response_id=message.get("id"), model=message.get("model"))
        self._end(message, message.get("usage"))

    def _end(self, said: Mapping[str, Any], usage: Mapping[str, Any] | None) -> None:
        self.note(finish_reason=said.get("stop_reason"))
        self.extras |= {name: said[name] for name in _EXTRAS if said.get(name) is not None}
        self._tokens |= {name: value for name, value in (usage or {}).items() if value is not None}
        details = self._tokens.get("output_tokens_details") or {}
        known = "input_tokens" in self._tokens
        self.count(
            input_tokens=sum(self._tokens.get(name, 0) for name in _READ) if known else None,
            cached_tokens=self._tokens.get("cache_read_input_tokens"),
            cache_write_tokens=self._tokens.get("cache_creation_input_tokens"),
            output_tokens=self._tokens.get("output_tokens"),
            reasoning_tokens=details.get("thinking_tokens"),
        )

    def message(self) -> Message:
        """Return the reply in the records' form."""
        blocks = [block.whole() for _, block in sorted(self._blocks.items())]
        return {"role": "assistant", "parts": blocks, "form": "blocks"}


class _Block:
    """A content block of a reply, complete or incomplete."""

    def __init__(self, block: Mapping[str, Any]) -> None:
        self._block = dict(block)
        self._grown: dict[str, list[str]] = {}
        self._arguments: list[str] = []

    @property
    def text(self) -> str:
        """Return the text that the block began with."""
        return self._block.get("text") or "" if self._block.get("type") == "text" else ""

    def grow(self, delta: Mapping[str, Any]) -> str:
        """Add the next piece; return the text in it."""
        kind = str(delta.get("type"))
        if kind == "input_json_delta":
            self._arguments.append(delta.get("partial_json") or "")
        elif kind == "citations_delta":
            self._block["citations"] = [*(self._block.get("citations") or ()), delta["citation"]]
        elif kind in _GROWING:
            piece = delta.get(_GROWING[kind]) or ""
            self._grown.setdefault(_GROWING[kind], []).append(piece)
            return piece if kind == "text_delta" else ""
        return ""

    def whole(self) -> block_codec.Part:
        """Return the block as a part of the records' form."""
        block = dict(self._block)
        for name, pieces in self._grown.items():
            block[name] = (block.get(name) or "") + "".join(pieces)
        if not self._arguments:
            return _encode_block(block)
        call = read_call(block.get("name"), block.get("id"), "".join(self._arguments))
        if block.get("type") == "tool_use" and call["type"] == "invalid_tool_call":
            return call
        return _encode_block({**block, "input": call["arguments"]})


def _encode_block(block: Mapping[str, Any]) -> block_codec.Part:
    """Return a content block as a part; fields without a value are left out."""
    given = {key: value for key, value in block.items() if value is not None}
    if given.get("type") in _MODALITIES:
        return _medium_part(given) or given
    if given.get("type") != "tool_use":
        return block_codec.encode_block(given)
    call = {"name": given.get("name"), "args": given.get("input"), "id": given.get("id")}
    more = {key: value for key, value in given.items() if key not in _CALL}
    return block_codec.encode_call({**call, **more})


def _medium_part(block: Mapping[str, Any]) -> block_codec.Part | None:
    """Convert an image or a document to LangChain's stored form; None for another form."""
    source = block.get("source")
    rest = {key: value for key, value in block.items() if key not in ("type", "source")}
    part: block_codec.Part = {"modality": _MODALITIES[block["type"]], **rest}
    held = source if isinstance(source, Mapping) else {}
    if held.get("type") == "base64" and isinstance(held.get("data"), str):
        part |= {"mime_type": held.get("media_type"), "content": held["data"]}
        return {**part, "type": "blob"}
    for name, kind in (("url", "uri"), ("file_id", "file")):
        if isinstance(held.get(name), str):
            return {**part, "type": kind, "uri" if kind == "uri" else name: held[name]}
    return None


def _prompt_messages(system: Any, messages: list[Any]) -> Iterator[Message]:
    if system:
        yield {"role": "system", **_content_fields(system)}
    for message in messages:
        if isinstance(message, Mapping):
            yield from _encode_message(message)
        else:
            yield {"role": "unknown", "parts": [{"type": "verbatim", "value": message}]}


def _encode_message(message: Mapping[str, Any]) -> Iterator[Message]:
    """Convert a message of a request; each tool result in it is a separate message."""
    content = message.get("content")
    if isinstance(content, str):
        yield {"role": message.get("role"), **_content_fields(content)}
        return
    rest = []
    for block in as_list(content):
        if isinstance(block, Mapping) and block.get("type") == "tool_result":
            yield _tool_result(block)
        else:
            rest.append(block)
    if rest or not content:
        yield {"role": message.get("role"), **_content_fields(rest)}


def _tool_result(block: Mapping[str, Any]) -> Message:
    part = {
        "type": "tool_call_response",
        "id": block.get("tool_use_id"),
        "response": block.get("content", ""),
    }
    message: Message = {"role": "tool", "parts": [part]}
    if block.get("is_error"):
        message["status"] = "error"
    return message


def _content_fields(content: Any) -> dict[str, Any]:
    if isinstance(content, str):
        return {"parts": [{"type": "text", "content": content}]}
    encoded = [
        _encode_block(block) if isinstance(block, Mapping) else block_codec.encode_block(block)
        for block in as_list(content)
    ]
    return {"parts": encoded, "form": "blocks"}
