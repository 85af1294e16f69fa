"""Google's Gemini API: generateContent and streamGenerateContent."""

from __future__ import annotations

import json

from openai_forms import Body, sse
from spoken import Spoken

_ENDS = {"stop": "STOP", "cut": "MAX_TOKENS", "refused": "SAFETY"}


class GenerateContent:
    """POST .../models/ID:generateContent; calls have no ids."""

    def wants_stream(self, path: str, body: Body) -> bool:
        return "streamGenerateContent" in path

    def whole(self, said: Spoken) -> bytes:
        return json.dumps(self._reply(said, self._parts(said), _ENDS[said.end])).encode()

    def streamed(self, said: Spoken) -> bytes:
        parts = self._parts(said)
        replies = [self._reply(said, [part], None) for part in parts[:-1]]
        return sse(iter([*replies, self._reply(said, parts[-1:], _ENDS[said.end])]), done=False)

    def _parts(self, said: Spoken) -> list[Body]:
        parts: list[Body] = []
        if said.thought:
            parts.append({"text": said.thought, "thought": True})
        if said.text:
            parts.append({"text": said.text})
        parts += [{"functionCall": {"name": c.name, "args": c.arguments}} for c in said.calls]
        if said.sealed and parts:
            parts[-1] = {**parts[-1], "thoughtSignature": "c2VhbGVk"}
        return parts

    def _reply(self, said: Spoken, parts: list[Body], end: str | None) -> Body:
        candidate: Body = {"index": 0, "content": {"role": "model", "parts": parts}}
        if end is not None:
            candidate["finishReason"] = end
        usage = {
            "promptTokenCount": said.read, "candidatesTokenCount": said.written,
            "totalTokenCount": said.read + said.written, "cachedContentTokenCount": said.cached,
        }  # fmt: skip
        return {
            "candidates": [candidate],
            "usageMetadata": usage,
            "modelVersion": "m",
            "responseId": "r1",
        }

    def error(self) -> bytes:
        error = {"code": 400, "message": "bad request", "status": "INVALID_ARGUMENT"}
        return json.dumps({"error": error}).encode()
