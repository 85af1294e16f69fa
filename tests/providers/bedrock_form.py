"""Amazon Bedrock's Converse API, with the binary event stream of ConverseStream."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator

from openai_forms import Body
from spoken import Spoken

_ENDS = {"stop": "end_turn", "cut": "max_tokens", "refused": "content_filtered"}


class Converse:
    """POST /model/ID/converse and /converse-stream."""

    def wants_stream(self, path: str, body: Body) -> bool:
        return path.endswith("converse-stream")

    def whole(self, said: Spoken) -> bytes:
        reply = {
            "output": {"message": {"role": "assistant", "content": self._blocks(said)}},
            "stopReason": self._end(said), "usage": self._usage(said), "metrics": {"latencyMs": 1},
        }  # fmt: skip
        return json.dumps(reply).encode()

    def streamed(self, said: Spoken) -> bytes:
        return b"".join(_frame(kind, body) for kind, body in self._events(said))

    def _end(self, said: Spoken) -> str:
        return "tool_use" if said.calls and said.end == "stop" else _ENDS[said.end]

    def _usage(self, said: Spoken) -> Body:
        return {
            "inputTokens": said.read - said.cached, "outputTokens": said.written,
            "totalTokens": said.read + said.written,
            "cacheReadInputTokens": said.cached, "cacheWriteInputTokens": 0,
        }  # fmt: skip

    def _blocks(self, said: Spoken) -> list[Body]:
        blocks: list[Body] = []
        if said.sealed:
            blocks.append({"reasoningContent": {"redactedContent": "c2VhbGVk"}})
        if said.thought:
            thought = {"text": said.thought, "signature": "signed"}
            blocks.append({"reasoningContent": {"reasoningText": thought}})
        if said.text:
            blocks.append({"text": said.text})
        return blocks + [
            {"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}}
            for call in said.calls
        ]

    def _events(self, said: Spoken) -> Iterator[tuple[str, Body]]:
        yield "messageStart", {"role": "assistant"}
        for place, block in enumerate(self._blocks(said)):
            at = {"contentBlockIndex": place}
            if "toolUse" in block:
                use = dict(block["toolUse"])
                text = json.dumps(use.pop("input"))
                yield "contentBlockStart", {"start": {"toolUse": use}, **at}
                for piece in (text[:4], text[4:]):
                    yield "contentBlockDelta", {"delta": {"toolUse": {"input": piece}}, **at}
            elif "reasoningContent" in block:
                inner = block["reasoningContent"]
                for name, value in inner.get("reasoningText", inner).items():
                    yield "contentBlockDelta", {"delta": {"reasoningContent": {name: value}}, **at}
            else:
                for word in said.words:
                    yield "contentBlockDelta", {"delta": {"text": word}, **at}
            yield "contentBlockStop", at
        yield "messageStop", {"stopReason": self._end(said)}
        yield "metadata", {"usage": self._usage(said), "metrics": {"latencyMs": 1}}

    def error(self) -> bytes:
        return json.dumps({"message": "bad request", "__type": "ValidationException"}).encode()


def _frame(kind: str, body: Body) -> bytes:
    """One message of AWS's event stream: lengths, headers, payload, each part with its CRC."""
    payload = json.dumps(body).encode()
    named = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(name)])
        + name.encode()
        + b"\x07"
        + struct.pack(">H", len(value))
        + value.encode()
        for name, value in named.items()
    )
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    content = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return content + struct.pack(">I", zlib.crc32(content))
