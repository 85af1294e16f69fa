"""Read the reply of a chat model: message, usage, token ids and model.

`read_reply` finds these facts where LangChain, the providers and burnish's own models put them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

_FINISH = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_REASONS = (
    "stop", "length", "tool_calls", "content_filter", "function_call", "end_turn", "tool_use",
    "max_tokens", "stop_sequence", "refusal", "pause_turn", "model_length", "error",
    "model_context_window_exceeded", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION",
)  # fmt: skip
_STAMP = ("adapter", "arm", "rollout", "share")
_OWN_FACTS = (*_STAMP, "prompt_token_ids", "token_ids", "logprobs", "base_model")
_MODEL = ("model_name", "model", "model_id")


class LangChainReply(msgspec.Struct, frozen=True):
    """One answer: the message (or bare text) and its facts, as ModelEnded's fields."""

    message: Any  # BaseMessage, or None
    text: str | None
    facts: dict[str, Any]
    extras: dict[str, Any]


def read_reply(result: Any) -> LangChainReply:
    """Read the first generation of an LLMResult; further choices are kept in `extras`."""
    choices = result.generations[0] if result.generations else []
    if not choices:
        return LangChainReply(None, None, {}, {"llm_output": result.llm_output or {}})
    message = getattr(choices[0], "message", None)
    info = choices[0].generation_info or {}
    extras: dict[str, Any] = {}
    if len(choices) > 1:
        extras["choices"] = [getattr(choice, "message", choice.text) for choice in choices[1:]]
    if message is None:
        return LangChainReply(
            None, choices[0].text, _facts_of_reply(info), extras | _other_metadata(info)
        )
    fields = message.__dict__
    said = fields["response_metadata"]
    said = {**info, **said} if info and said else said or info
    facts: dict[str, Any] = {}
    if said:
        facts = _facts_of_reply(said)
        extras |= _other_metadata(said)
    usage = fields.get("usage_metadata")
    if usage:
        facts["usage"] = read_usage(usage)
        if usage.get("total_cost") == 0:  # langchain-core's mark of an answer from its cache
            facts["sampled"] = False
    return LangChainReply(message, None, facts, extras)


def _facts_of_reply(metadata: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "finish_reason": finish_reason_of(metadata),
        "model": _first_present(metadata, _MODEL),
        "response_id": _first_present(metadata, ("id", "response_id")),
        "logprobs": _read_logprobs(metadata.get("logprobs")),
    }
    own = metadata.get("burnish")
    if isinstance(own, dict):
        for name in (*_STAMP, "prompt_token_ids", "token_ids"):
            facts[name] = own.get(name)
        facts["logprobs"] = own.get("logprobs") or facts["logprobs"]
        facts["model"] = facts["model"] or own.get("base_model")
    return {name: value for name, value in facts.items() if value is not None}


def finish_reason_of(metadata: Mapping[str, Any]) -> str | None:
    """Return the finish reason of a reply, in the terms of its provider.

    LangChain concatenates values that the chunks of a stream repeat ("lengthlength"); the last one
    counts. The Responses API reports a status and, if it is "incomplete", the reason beside it.
    """
    said = _first_present(metadata, _FINISH)
    if said is not None:
        return _last_word(said)
    details = metadata.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, Mapping) else None
    if isinstance(reason, str) and reason:
        return reason
    status = metadata.get("status")
    return status if status in ("incomplete", "failed", "cancelled") else None


def _last_word(said: str) -> str:
    """Return the last of several words that are joined without spaces.

    The text itself if it is one word.
    """
    if said in _REASONS:
        return said
    endings = sorted((word for word in _REASONS if said.endswith(word)), key=len, reverse=True)
    for word in endings:
        rest = said.removesuffix(word)
        if rest in _REASONS or _last_word(rest) != rest:
            return word
    return said


def _first_present(metadata: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = metadata.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def _read_logprobs(given: Any) -> list[float] | None:
    """Read log-probabilities of the sampled tokens, from OpenAI's form or a plain list."""
    if isinstance(given, dict):
        given = given.get("content")
    if not isinstance(given, list):
        return None
    values = [entry.get("logprob") if isinstance(entry, dict) else entry for entry in given]
    numbers = [float(value) for value in values if isinstance(value, (int, float))]
    return numbers if len(numbers) == len(values) else None


def _other_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata that neither the facts nor the stored message hold."""
    kept: dict[str, Any] = {}
    own = metadata.get("burnish")
    if isinstance(own, dict):
        more = {key: value for key, value in own.items() if key not in _OWN_FACTS}
        kept |= {"burnish": more} if more else {}
    for name in ("logprobs", "system_fingerprint", "service_tier"):
        if metadata.get(name):
            kept[name] = metadata[name]
    return kept


def read_usage(usage: Mapping[str, Any]) -> dict[str, int]:
    """Read token counts of LangChain's usage metadata, under the names of `records.Usage`."""
    read = {
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
    }
    inputs = usage.get("input_token_details") or {}
    outputs = usage.get("output_token_details") or {}
    read["cached_tokens"] = inputs.get("cache_read")
    read["cache_write_tokens"] = inputs.get("cache_creation")
    read["reasoning_tokens"] = outputs.get("reasoning")
    return {name: value for name, value in read.items() if isinstance(value, int)}
