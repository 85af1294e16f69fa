"""Convert requests and replies of OpenAI's Responses API to the records' form.

`ResponseExchange` reads items of the input and the output, and the events of a stream. `SaidBefore`
keeps conversations that requests refer to.

How it works: the items of one reply (a thought, text, calls) are one message, and so are
consecutive items of the assistant in the input. A request that refers to an earlier response gets
that response's prompt and reply before its own input, if the same client requested it; a prompt
that only the server has is marked by a part, and no row is made of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from burnish.capture.clients.exchanges import Exchange, as_data, as_list, read_media_url
from burnish.capture.content import block_codec
from burnish.capture.content.chat_form import read_call
from burnish.capture.langchain.replies import finish_reason_of
from burnish.capture.manual_calls import HandwrittenModelCall
from burnish.records import Message

_KEPT = 1024
_TEXTS = ("text", "input_text", "output_text")
_PENDING = ("queued", "in_progress")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_EXTRAS = ("service_tier", "error", "incomplete_details")


class SaidBefore:
    """Prompt and reply of the responses that a client received, by their ids."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, list[Message]] = OrderedDict()

    def keep(self, response_id: str, messages: list[Message]) -> None:
        """Keep the prompt of a response, and the response."""
        self._kept[response_id] = messages
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    def find(self, response_id: Any) -> list[Message]:
        """Return the conversation of a response, or a message that only the server knows it."""
        known = self._kept.get(response_id) if isinstance(response_id, str) else None
        return known or [_unknown_message("previous_response", response_id)]


class ResponseExchange(Exchange):
    """One request to `/responses` and its reply.

    Args:
        body: The request.
        before: Earlier responses of the same client.
    """

    def __init__(self, body: Mapping[str, Any], before: SaidBefore) -> None:
        super().__init__(body)
        self._before = before
        self._said: list[Message] = []
        self._items: dict[int, _Item] = {}  # by their index

    def asked(self) -> HandwrittenModelCall:
        """Return the call that the request makes."""
        given = {key: as_data(value) for key, value in self.body.items()}
        self._said = list(_earlier_messages(given, self._before))
        self._said += _encode_items(given.pop("input", None))
        messages = [*_instruction_messages(given.pop("instructions", None)), *self._said]
        wanted = (given.get("text") or {}).get("format")
        if wanted is not None:
            given["response_format"] = wanted
        return HandwrittenModelCall.of_body(messages, "openai", given)

    def add(self, piece: Mapping[str, Any]) -> str:
        """Add a whole response or the next event of a stream; return the text that it adds."""
        if piece.get("object") == "response":
            self._whole(piece)
            return "".join(item.text for item in self._items.values())
        kind = str(piece.get("type"))
        if isinstance(piece.get("response"), Mapping):
            self._whole(piece["response"])
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._items[piece["output_index"]] = _Item(piece["item"])
        elif "output_index" in piece and piece["output_index"] in self._items:
            return self._items[piece["output_index"]].grow(kind, piece)
        return ""

    def _whole(self, response: Mapping[str, Any]) -> None:
        self.note(response_id=response.get("id"), model=response.get("model"))
        self.extras |= {name: response[name] for name in _EXTRAS if response.get(name)}
        usage = response.get("usage") or {}
        self.count(
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
            cached_tokens=(usage.get("input_tokens_details") or {}).get("cached_tokens"),
            reasoning_tokens=(usage.get("output_tokens_details") or {}).get("reasoning_tokens"),
        )
        status = response.get("status")
        if status in _PENDING and "output" in response and not response["output"]:
            if self.body.get("background"):
                self.note(finish_reason=status)
            return
        self.note(finish_reason=finish_reason_of(response) or status)
        self._items = {n: _Item(item) for n, item in enumerate(response.get("output") or ())}

    def message(self) -> Message:
        """Return the reply in the records' form; later requests may refer to it."""
        items = [item.item for _, item in sorted(self._items.items())]
        said: Message = {"role": "assistant", "parts": [p for i in items for p in _own_parts(i)]}
        if "response_id" in self.facts:
            self._before.keep(self.facts["response_id"], [*self._said, said])
        return said


class _Item:
    """An item of the output, complete or incomplete."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        self.item = dict(item)

    @property
    def text(self) -> str:
        """Return the text of a message."""
        blocks = self.item.get("content") if self.item.get("type") == "message" else ()
        return "".join(b.get("text") or "" for b in blocks or () if b.get("type") == "output_text")

    def grow(self, kind: str, event: Mapping[str, Any]) -> str:
        """Add the next piece; return the text in it."""
        delta = event.get("delta")
        if not isinstance(delta, str):
            return ""
        if kind.startswith("response.function_call_arguments"):
            self.item["arguments"] = (self.item.get("arguments") or "") + delta
        elif kind == "response.reasoning_summary_text.delta":
            _grow_text(self.item, "summary", event.get("summary_index"), "summary_text", delta)
        elif kind == "response.reasoning_text.delta":
            _grow_text(self.item, "content", event.get("content_index"), "reasoning_text", delta)
        elif kind == "response.output_text.delta":
            _grow_text(self.item, "content", event.get("content_index"), "output_text", delta)
            return delta
        return ""


def _grow_text(item: dict[str, Any], name: str, place: Any, kind: str, delta: str) -> None:
    """Extend a text of an item; it is used only if the stream ends before the item is complete."""
    blocks = item[name] = [dict(block) for block in item.get(name) or ()]
    place = place if isinstance(place, int) else 0
    while len(blocks) <= place:
        blocks.append({"type": kind, "text": ""})
    blocks[place]["text"] = (blocks[place].get("text") or "") + delta


def _earlier_messages(given: dict[str, Any], before: SaidBefore) -> Iterator[Message]:
    if given.get("previous_response_id"):
        yield from before.find(given["previous_response_id"])
    for name in ("conversation", "prompt"):
        if given.get(name):
            yield _unknown_message(name, given[name])


def _unknown_message(kind: str, value: Any) -> Message:
    return {"role": "user", "parts": [{"type": f"{kind}_on_server", "value": value}]}


def _instruction_messages(instructions: Any) -> list[Message]:
    if not instructions:
        return []
    if isinstance(instructions, str):
        return [{"role": "system", "parts": [{"type": "text", "content": instructions}]}]
    return _encode_items(instructions)


def _encode_items(given: Any) -> list[Message]:
    """Return the items of an input as messages."""
    if isinstance(given, str):
        return [{"role": "user", "parts": [{"type": "text", "content": given}]}]
    messages: list[Message] = []
    open_reply = False
    for item in as_list(given):
        found = _encode_item(item)
        if open_reply and found["role"] == "assistant":
            messages[-1]["parts"] += found["parts"]
        else:
            messages.append(found)
        open_reply = found["role"] == "assistant"
    return messages


def _encode_item(item: Any) -> Message:
    if not isinstance(item, Mapping):
        return {"role": "unknown", "parts": [{"type": "verbatim", "value": item}]}
    kind = item.get("type")
    if kind in _OUTPUTS:
        response = _result_of_tool(item.get("output"))
        part = {"type": "tool_call_response", "id": item.get("call_id"), "response": response}
        return {"role": "tool", "parts": [part]}
    role = item.get("role")
    if kind in (None, "message") and role != "assistant":
        content = item.get("content")
        blocks = [content] if isinstance(content, str) else as_list(content)
        return {"role": role, "parts": [_block_part(block) for block in blocks]}
    if kind == "item_reference" or not (kind or role):
        return _unknown_message("item", dict(item))
    return {"role": "assistant", "parts": _own_parts(item)}


def _own_parts(item: Mapping[str, Any]) -> list[block_codec.Part]:
    """Return the parts of an item that the model wrote."""
    kind = item.get("type", "message")
    if kind == "message":
        content = item.get("content")
        return [
            _block_part(b) for b in ([content] if isinstance(content, str) else as_list(content))
        ]
    if kind == "function_call":
        raw = item.get("arguments")
        return [
            read_call(item.get("name"), item.get("call_id"), raw if isinstance(raw, str) else "")
        ]
    return [
        block_codec.encode_block({key: value for key, value in item.items() if value is not None})
    ]


def _block_part(block: Any) -> block_codec.Part:
    if isinstance(block, str):
        return {"type": "text", "content": block}
    if isinstance(block, Mapping) and block.get("type") in _TEXTS:
        return {"type": "text", "content": block.get("text") or ""}
    if not isinstance(block, Mapping):
        return block_codec.encode_block(block)
    if block.get("type") == "input_image" and isinstance(block.get("image_url"), str):
        detail = {"detail": block["detail"]} if block.get("detail") else {}
        return {**read_media_url(block["image_url"], "image"), **detail}
    return block_codec.encode_block(dict(block))


def _result_of_tool(output: Any) -> Any:
    """Return the output of a tool; texts in it are blocks of text."""
    if not isinstance(output, list):
        return output
    return [
        {"type": "text", "text": block.get("text")}
        if isinstance(block, Mapping) and block.get("type") in _TEXTS
        else block
        for block in output
    ]
