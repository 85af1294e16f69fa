"""Anthropic's Messages API."""

from __future__ import annotations

import json
from collections.abc import Iterator

from openai_forms import Body, sse
from spoken import Spoken

_ENDS = {"stop": "end_turn", "cut": "max_tokens", "refused": "refusal"}


class Messages:
    """POST /v1/messages."""

    def wants_stream(self, path: str, body: Body) -> bool:
        return bool(body.get("stream"))

    def whole(self, said: Spoken) -> bytes:
        return json.dumps(self._message(said, self._blocks(said), self._end(said))).encode()

    def streamed(self, said: Spoken) -> bytes:
        return sse(self._events(said), named=True, done=False)

    def _end(self, said: Spoken) -> str:
        return "tool_use" if said.calls and said.end == "stop" else _ENDS[said.end]

    def _blocks(self, said: Spoken) -> list[Body]:
        blocks: list[Body] = []
        if said.sealed:
            blocks.append({"type": "redacted_thinking", "data": "sealed"})
        if said.thought:
            blocks.append({"type": "thinking", "thinking": said.thought, "signature": "signed"})
        if said.text:
            blocks.append({"type": "text", "text": said.text})
        return blocks + [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
            for call in said.calls
        ]

    def _message(self, said: Spoken, blocks: list[Body], end: str | None) -> Body:
        usage = {
            "input_tokens": said.read - said.cached, "output_tokens": said.written,
            "cache_read_input_tokens": said.cached, "cache_creation_input_tokens": 0,
        }  # fmt: skip
        return {
            "id": "msg1", "type": "message", "role": "assistant", "model": "m", "content": blocks,
            "stop_reason": end, "stop_sequence": None, "usage": usage,
        }  # fmt: skip

    def _events(self, said: Spoken) -> Iterator[Body]:
        yield {"type": "message_start", "message": self._message(said, [], None)}
        for place, block in enumerate(self._blocks(said)):
            yield from self._block_events(place, block)
        delta = {"stop_reason": self._end(said), "stop_sequence": None}
        usage = self._message(said, [], None)["usage"]
        yield {"type": "message_delta", "delta": delta, "usage": usage}
        yield {"type": "message_stop"}

    def _block_events(self, place: int, block: Body) -> Iterator[Body]:
        kind = block["type"]
        start: Body = dict(block)
        deltas: list[Body] = []
        if kind == "text":
            start["text"] = ""
            deltas = [{"type": "text_delta", "text": piece} for piece in _halves(block["text"])]
        elif kind == "thinking":
            start |= {"thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": p} for p in _halves(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        elif kind == "tool_use":
            start["input"] = {}
            text = json.dumps(block["input"])
            deltas = [
                {"type": "input_json_delta", "partial_json": piece} for piece in _halves(text)
            ]
        yield {"type": "content_block_start", "index": place, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": place, "delta": delta}
        yield {"type": "content_block_stop", "index": place}

    def error(self) -> bytes:
        error = {"type": "invalid_request_error", "message": "bad request"}
        return json.dumps({"type": "error", "error": error}).encode()


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [text[:middle], text[middle:]]
