"""Read the fields of an OpenAI-compatible reply that chat models drop.

`WireReply` reads the fields of vLLM, SGLang and llama-server besides OpenAI's own, whole and in
chunks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from burnish.capture.content.chat_form import read_call
from burnish.records import Message

_ADAPTER = re.compile(r".{1,200}@[0-9a-f]{12}")
_REASONING = ("reasoning_content", "reasoning")
_STOPS = ("stop_reason", "matched_stop", "stopping_word")
_KNOWN_TOP = frozenset(
    {
        "id", "object", "created", "model", "choices", "usage", "system_fingerprint",
        "service_tier", "prompt_token_ids", "__verbose", "burnish",
    }
)  # fmt: skip


class WireReply:
    """One reply, assembled from the whole or from its chunks."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.extras: dict[str, Any] = {}
        self._thoughts: list[str] = []
        self._texts: list[str] = []
        self.calls: list[dict[str, Any]] = []  # in order of arrival: id, name, arguments as written
        self._newest: dict[int, dict[str, Any]] = {}  # the call that an index referred to last

    @property
    def reasoning(self) -> str:
        """Return the thought so far."""
        return "".join(self._thoughts)

    def add(self, reply: Mapping[str, Any]) -> str:
        """Add a whole reply or the next chunk; return the text that it adds."""
        self._top(reply)
        known = len(self._texts)
        choices = reply.get("choices") or (reply.get("chunk") or {}).get("choices") or ()
        for choice in choices:
            if not choice.get("index"):  # the agent continues with the first choice
                self._choice(choice)
        return "".join(self._texts[known:])

    def _top(self, reply: Mapping[str, Any]) -> None:
        verbose = reply.get("__verbose") or {}  # llama-server
        found = {
            "response_id": reply.get("id"),
            "model": reply.get("model"),
            "prompt_token_ids": _read_ids(reply.get("prompt_token_ids")),
            "token_ids": _read_ids(verbose.get("tokens")),
        }
        self.facts |= {name: value for name, value in found.items() if value}
        model = reply.get("model")
        if isinstance(model, str) and _ADAPTER.fullmatch(model):
            self.facts["adapter"] = model
        own = reply.get("burnish")
        if isinstance(own, Mapping):
            self.facts |= {
                name: own[name] for name in ("adapter", "arm") if isinstance(own.get(name), str)
            }
        for name in ("system_fingerprint", "service_tier"):
            if reply.get(name):
                self.extras[name] = reply[name]
        if isinstance(verbose.get("prompt"), str):
            self.extras["rendered_prompt"] = verbose["prompt"]
        more = {k: v for k, v in reply.items() if k not in _KNOWN_TOP and v is not None}
        if more:
            self.extras.setdefault("server", {}).update(more)
        if reply.get("usage"):
            self.facts["usage"] = read_usage(reply["usage"])

    def _choice(self, choice: Mapping[str, Any]) -> None:
        if choice.get("finish_reason"):
            self.facts["finish_reason"] = choice["finish_reason"]
        for name in _STOPS:
            if choice.get(name) is not None:
                self.extras["stop_reason"] = choice[name]
        ids = _read_ids(choice.get("token_ids"))
        if ids:
            self.facts.setdefault("token_ids", []).extend(ids)
        logprobs = (choice.get("logprobs") or {}).get("content")
        if logprobs:
            self.extras.setdefault("logprobs", {"content": []})["content"].extend(logprobs)
            values = [entry["logprob"] for entry in logprobs]
            self.facts.setdefault("logprobs", []).extend(values)
        self._message(choice.get("message") or choice.get("delta") or {})

    def _message(self, message: Mapping[str, Any]) -> None:
        for name in _REASONING:
            if isinstance(message.get(name), str):
                self._thoughts.append(message[name])
                break
        if isinstance(message.get("content"), str):
            self._texts.append(message["content"])
        for place, call in enumerate(message.get("tool_calls") or ()):
            kept = self._call_of(place, call)
            function = cast("dict[str, Any]", call.get("function") or {})
            if call.get("id"):
                kept["id"] = call["id"]
            if function.get("name"):
                kept["name"] = function["name"]
            if isinstance(function.get("arguments"), str):
                kept["arguments"] += function["arguments"]

    def _call_of(self, place: int, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return the call of a piece: the newest of its index, unless the piece names another id.

        Some servers stream every call under index 0, or without an index; a new id begins a new
        call.
        """
        index = call.get("index")
        slot = place if not isinstance(index, int) else index
        kept = self._newest.get(slot)
        if kept is None or (call.get("id") and kept.get("id") not in (None, call["id"])):
            kept = self._newest[slot] = {"arguments": ""}
            self.calls.append(kept)
        return kept

    def raw_arguments(self) -> dict[str, str]:
        """Return the arguments as the model wrote them, by call id."""
        return {call["id"]: call["arguments"] for call in self.calls if "id" in call}

    def enrich(self, message: Message) -> Message:
        """Add the dropped fields to the reply that LangChain returns."""
        parts = [dict(part) for part in message["parts"]]
        if self.reasoning and not any(part.get("type") == "reasoning" for part in parts):
            parts.insert(0, {"type": "reasoning", "content": self.reasoning, "block": "wire"})
        raw = self.raw_arguments()
        for part in parts:
            if part.get("type") in ("tool_call", "invalid_tool_call") and part.get("id") in raw:
                part["raw_arguments"] = raw[part["id"]]
        return {**message, "parts": parts}

    def message(self) -> Message:
        """Return the reply in the records' form."""
        parts: list[dict[str, Any]] = []
        if self.reasoning:
            parts.append({"type": "reasoning", "content": self.reasoning, "block": "wire"})
        if text := "".join(self._texts):
            parts.append({"type": "text", "content": text})
        parts += [read_call(c.get("name"), c.get("id"), c["arguments"]) for c in self.calls]
        return {"role": "assistant", "parts": parts}


def read_usage(usage: Mapping[str, Any]) -> dict[str, int]:
    """Read token counts in OpenAI's form, under the names of `records.Usage`."""
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
    read = {
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens"),
        "cached_tokens": prompt.get("cached_tokens"),
        "reasoning_tokens": completion.get("reasoning_tokens"),
    }
    return {name: value for name, value in read.items() if isinstance(value, int)}


def _read_ids(value: Any) -> list[int] | None:
    if isinstance(value, list) and all(isinstance(item, int) for item in value):
        return value.copy()
    return None
