"""Mistral's and Ollama's forms."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, ClassVar

from openai_forms import Body, Completions
from spoken import Spoken


class MistralCompletions(Completions):
    """POST /chat/completions of Mistral: thoughts are a block of the content, cut is `model_length` too."""

    ends: ClassVar[dict[str, str]] = {"stop": "stop", "cut": "model_length", "refused": "error"}

    def whole(self, said: Spoken) -> bytes:
        reply = json.loads(super().whole(said))
        message = reply["choices"][0]["message"]
        if message.pop("reasoning_content", None):
            message["content"] = self._thinking(said)
        return json.dumps(reply).encode()

    def _thinking(self, said: Spoken) -> list[Body]:
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": said.thought}]}
        return [thought, {"type": "text", "text": said.text}]

    def _chunks(self, said: Spoken) -> Any:
        for chunk in super()._chunks(dataclasses.replace(said, end="stop")):
            delta = chunk["choices"][0]["delta"] if chunk["choices"] else {}
            if delta.get("reasoning_content"):
                chunk["choices"][0]["delta"] = {"content": self._thinking(said)[:1]}
            if delta and "tool_calls" not in delta:
                yield chunk
        calls = [self._call(call, place) for place, call in enumerate(said.calls)]
        last = self._chunk({"tool_calls": calls} if calls else {}, self._end(said))
        yield {**last, "usage": self._usage(said)}


class OllamaChat:
    """POST /api/chat of Ollama: JSON lines; calls have no ids, and replies no parallel reasons."""

    def wants_stream(self, path: str, body: Body) -> bool:
        return bool(body.get("stream", True))

    def whole(self, said: Spoken) -> bytes:
        return json.dumps(self._lines(said)[-1] | {"message": self._message(said)}).encode()

    def streamed(self, said: Spoken) -> bytes:
        return "".join(json.dumps(line) + "\n" for line in self._lines(said)).encode()

    def _message(self, said: Spoken) -> Body:
        message: Body = {"role": "assistant", "content": said.text}
        if said.thought:
            message["thinking"] = said.thought
        if said.calls:
            message["tool_calls"] = [
                {"function": {"name": call.name, "arguments": call.arguments}}
                for call in said.calls
            ]
        return message

    def _lines(self, said: Spoken) -> list[Body]:
        base = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": False}
        lines = [{**base, "message": {"role": "assistant", "content": word}} for word in said.words]
        if said.thought:
            lines.insert(
                0,
                {**base, "message": {"role": "assistant", "content": "", "thinking": said.thought}},
            )
        if said.calls:
            calls = self._message(said)["tool_calls"]
            lines.append(
                {**base, "message": {"role": "assistant", "content": "", "tool_calls": calls}}
            )
        reason = "length" if said.end == "cut" else "stop"
        last = {
            "done": True,
            "done_reason": reason,
            "message": {"role": "assistant", "content": ""},
        }
        counts = {"prompt_eval_count": said.read, "eval_count": said.written}
        return [*lines, {**base, **last, **counts, "total_duration": 1, "load_duration": 1}]

    def error(self) -> bytes:
        return json.dumps({"error": "bad request"}).encode()
