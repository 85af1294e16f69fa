"""OpenAI's two forms, and those of providers that speak the first: chat completions and Responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from spoken import Spoken

Body = dict[str, Any]


def sse(events: Iterator[Body], *, named: bool = False, done: bool = True) -> bytes:
    """Server-sent events; with the name of each where the provider gives one."""
    lines = []
    for event in events:
        lines.append(f"event: {event['type']}\n" if named else "")
        lines.append(f"data: {json.dumps(event)}\n\n")
    return ("".join(lines) + ("data: [DONE]\n\n" if done else "")).encode()


class Completions:
    """POST .../chat/completions."""

    ends: ClassVar[dict[str, str]] = {"stop": "stop", "cut": "length", "refused": "content_filter"}
    thought_key = "reasoning_content"

    def wants_stream(self, path: str, body: Body) -> bool:
        return bool(body.get("stream"))

    def whole(self, said: Spoken) -> bytes:
        message: Body = {"role": "assistant", "content": said.text}
        if said.thought:
            message[self.thought_key] = said.thought
        if said.calls:
            message["tool_calls"] = [
                self._call(call, place) for place, call in enumerate(said.calls)
            ]
        choice = {"index": 0, "message": message, "finish_reason": self._end(said)}
        return json.dumps(self._reply("chat.completion", [choice], self._usage(said))).encode()

    def streamed(self, said: Spoken) -> bytes:
        return sse(self._chunks(said))

    def _chunks(self, said: Spoken) -> Iterator[Body]:
        yield self._chunk({"role": "assistant", "content": ""})
        if said.thought:
            yield self._chunk({self.thought_key: said.thought})
        for word in said.words if said.text else ():
            yield self._chunk({"content": word})
        for place, call in enumerate(said.calls):
            whole = self._call(call, place)
            text = whole["function"].pop("arguments")
            yield self._chunk(
                {"tool_calls": [{**whole, "function": {**whole["function"], "arguments": ""}}]}
            )
            for piece in (text[:4], text[4:]):
                yield self._chunk(
                    {"tool_calls": [{"index": place, "function": {"arguments": piece}}]}
                )
        yield self._chunk({}, self._end(said))
        yield self._reply("chat.completion.chunk", [], self._usage(said))

    def _chunk(self, delta: Body, end: str | None = None) -> Body:
        choice = {"index": 0, "delta": delta, "finish_reason": end}
        return self._reply("chat.completion.chunk", [choice], None)

    def _end(self, said: Spoken) -> str:
        return "tool_calls" if said.calls and said.end == "stop" else self.ends[said.end]

    def _call(self, call: Any, place: int) -> Body:
        function = {"name": call.name, "arguments": json.dumps(call.arguments)}
        return {"index": place, "id": call.id, "type": "function", "function": function}

    def _usage(self, said: Spoken) -> Body:
        return {
            "prompt_tokens": said.read,
            "completion_tokens": said.written,
            "total_tokens": said.read + said.written,
            "prompt_tokens_details": {"cached_tokens": said.cached},
        }

    def _reply(self, kind: str, choices: list[Body], usage: Body | None) -> Body:
        reply: Body = {"id": "r1", "object": kind, "created": 1, "model": "m", "choices": choices}
        return reply if usage is None else {**reply, "usage": usage}

    def error(self) -> bytes:
        return json.dumps(
            {"error": {"message": "bad request", "type": "invalid_request_error"}}
        ).encode()


class GroqCompletions(Completions):
    """Groq names the thought differently, and puts the tokens of a stream into a separate field."""

    thought_key = "reasoning"

    def _chunks(self, said: Spoken) -> Iterator[Body]:
        for chunk in super()._chunks(said):
            usage = chunk.pop("usage", None)
            if usage is None:
                yield chunk
            else:
                yield {**self._chunk({}), "x_groq": {"id": "r1", "usage": usage}}


class Responses(Completions):
    """POST .../responses."""

    def whole(self, said: Spoken) -> bytes:
        return json.dumps(self._response(said, self._items(said))).encode()

    def streamed(self, said: Spoken) -> bytes:
        events = ({**event, "sequence_number": n} for n, event in enumerate(self._events(said)))
        return sse(events, named=True, done=False)

    def _items(self, said: Spoken) -> list[Body]:
        items: list[Body] = []
        if said.thought or said.sealed:
            summary = [{"type": "summary_text", "text": said.thought}] if said.thought else []
            items.append(
                {
                    "type": "reasoning",
                    "id": "rs1",
                    "summary": summary,
                    "encrypted_content": "sealed" if said.sealed else None,
                }
            )
        if said.text:
            part = {"type": "output_text", "text": said.text, "annotations": []}
            items.append(
                {
                    "type": "message",
                    "id": "msg1",
                    "role": "assistant",
                    "status": "completed",
                    "content": [part],
                }
            )
        for place, call in enumerate(said.calls):
            items.append(
                {
                    "type": "function_call",
                    "id": f"fc{place}",
                    "call_id": call.id,
                    "name": call.name,
                    "arguments": json.dumps(call.arguments),
                    "status": "completed",
                }
            )
        return items

    def _response(self, said: Spoken, items: list[Body], status: str | None = None) -> Body:
        why = {"cut": "max_output_tokens", "refused": "content_filter"}.get(said.end)
        return {
            "id": "resp1", "object": "response", "created_at": 1, "model": "m", "output": items,
            "status": status or ("incomplete" if why else "completed"), "error": None, "instructions": None,
            "incomplete_details": {"reason": why} if why else None, "metadata": {},
            "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
            "usage": {
                "input_tokens": said.read, "output_tokens": said.written,
                "total_tokens": said.read + said.written,
                "input_tokens_details": {"cached_tokens": said.cached},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
        }  # fmt: skip

    def _events(self, said: Spoken) -> Iterator[Body]:
        yield {"type": "response.created", "response": self._response(said, [], "in_progress")}
        for place, item in enumerate(self._items(said)):
            yield from self._item_events(place, item)
        kind = "response.completed" if said.end == "stop" else "response.incomplete"
        yield {"type": kind, "response": self._response(said, self._items(said))}

    def _item_events(self, place: int, item: Body) -> Iterator[Body]:
        at = {"output_index": place, "item_id": item["id"]}
        empty = {
            "message": {"content": []},
            "function_call": {"arguments": ""},
            "reasoning": {"summary": []},
        }
        yield {
            "type": "response.output_item.added",
            "output_index": place,
            "item": {**item, **empty[item["type"]]},
        }
        if item["type"] == "function_call":
            text = item["arguments"]
            for piece in (text[:4], text[4:]):
                yield {"type": "response.function_call_arguments.delta", "delta": piece, **at}
            yield {"type": "response.function_call_arguments.done", "arguments": text, **at}
        elif item["type"] == "reasoning":
            for number, part in enumerate(item["summary"]):
                near = {**at, "summary_index": number}
                yield {
                    "type": "response.reasoning_summary_part.added",
                    "part": {**part, "text": ""},
                    **near,
                }
                yield {
                    "type": "response.reasoning_summary_text.delta",
                    "delta": part["text"],
                    **near,
                }
                yield {"type": "response.reasoning_summary_text.done", "text": part["text"], **near}
        else:
            yield from self._text_events(item["content"][0], {**at, "content_index": 0})
        yield {"type": "response.output_item.done", "output_index": place, "item": item}

    def _text_events(self, part: Body, at: Body) -> Iterator[Body]:
        kind, key = part["type"], "text"
        yield {"type": "response.content_part.added", "part": {**part, key: ""}, **at}
        for word in (part[key][:4], part[key][4:]):
            yield {"type": f"response.{kind}.delta", "delta": word, "logprobs": [], **at}
        yield {"type": f"response.{kind}.done", key: part[key], "logprobs": [], **at}
        yield {"type": "response.content_part.done", "part": part, **at}
