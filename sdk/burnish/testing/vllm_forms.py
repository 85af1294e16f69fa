"""Define the requests that vLLM refuses, its messages, and the fields of its answers.

The values were measured with a vLLM 0.32 server; `make nightly-vllm` compares them again.
`VllmServer` uses this module.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from burnish.errors import ServingError
from burnish.serving.embedded.requests import EngineAnswer
from burnish.serving.embedded.session import FinishedAnswer
from burnish.serving.toolcalls.reply_parser import ParsedReply

MOST_LOGPROBS = 20
INPUT, INTERNAL, MALFORMED = "InvalidUserInput", "InternalServerError", "Bad Request"
_MARK = "<tool_call>"  # the parser that is named hermes
Decode = Callable[[Sequence[int]], str]


class Refused(ServingError):
    """A request that is answered with an error body."""

    def __init__(
        self,
        message: str,
        status: int = 400,
        kind: str = "BadRequestError",
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.param = status, kind, param


def refused_value(found: str, name: str, value: Any = None) -> Refused:
    """Refuse one field."""
    told = f"parameter={name}" if value is None else f"parameter={name}, value={value}"
    return Refused(f"{found} ({told})", param=name)


def not_done(what: str) -> Refused:
    """Refuse a feature of vLLM that the stand-in lacks, so that no test relies on it."""
    return Refused(f"the stand-in for vLLM does not do {what}", 501, "NotImplementedError")


def read_text(body: dict[str, Any], name: str) -> str:
    """Read a field that must be a text."""
    if name not in body:
        given = f"<dict of {len(body)} items>"
        raise _malformed("missing", name, "Field required", given)
    if not isinstance(body[name], str):
        raise _malformed("string_type", name, "Input should be a valid string", str(body[name]))
    return body[name]


def check_chat(body: dict[str, Any], context: int) -> None:
    """Refuse a chat request as vLLM does.

    Args:
        body: The body of the request.
        context: Tokens of the model's context (`max_model_len`).
    """
    _check_numbers(body, context)
    if not body.get("messages"):
        found = "Cannot apply chat template to an empty conversation. Provide at least one message."
        raise Refused(found)
    choice = body.get("tool_choice")
    if body.get("tools") == []:
        found = "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely."
        raise refused_value(found, "tools")
    if choice not in (None, "none") and not body.get("tools"):
        raise refused_value("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if choice not in (None, "none", "auto"):
        raise not_done(f"tool_choice = {json.dumps(choice)}")
    if body.get("top_logprobs") and not body.get("logprobs"):
        found = "when using `top_logprobs`, `logprobs` must be set to true."
        raise refused_value(found, "top_logprobs")
    if body.get("stream_options") and not body.get("stream"):
        found = "Stream options can only be defined when `stream=True`."
        raise refused_value(found, "stream_options")
    if (body.get("response_format") or {}).get("type", "text") != "text":
        raise not_done("response_format")
    _check_logprobs(body.get("top_logprobs"))


def check_completion(body: dict[str, Any], context: int) -> None:
    """Refuse a request for a completion as vLLM does.

    Args:
        body: The body of the request.
        context: Tokens of the model's context.
    """
    _check_numbers(body, context)
    prompt = body.get("prompt")
    if prompt == []:
        raise Refused("You must pass at least one prompt")
    if not prompt:
        found = "Either prompt or prompt_embeds must be provided and non-empty."
        raise refused_value(found, "prompt")
    if not isinstance(prompt, str) and not isinstance(prompt[0], int):
        raise not_done("several prompts at once")
    if body.get("echo") or body.get("stream"):
        raise not_done("echo and streams of completions")
    _check_logprobs(body.get("logprobs"))


def check_prompt(ids: Sequence[int], context: int, vocabulary: int) -> None:
    """Refuse token ids that the model does not have, or that leave no room for an answer."""
    if max(ids) >= vocabulary:
        raise Refused(f"Token id {max(ids)} is out of vocabulary")
    if len(ids) >= context:
        found = (
            f"This model's maximum context length is {context} tokens. However, your prompt "
            f"contains {len(ids)} input tokens, which exceeds this limit even without any output "
            "tokens. Please reduce the length of the input prompt."
        )
        raise refused_value(found, "input_tokens", len(ids))


def _check_numbers(body: dict[str, Any], context: int) -> None:
    for name in ("seed", "max_tokens", "max_completion_tokens"):
        _check_integer(name, body.get(name))
    most = body.get("max_completion_tokens", body.get("max_tokens"))
    if most is not None and int(most) < 1:
        raise refused_value(f"max_tokens must be at least 1, got {most}.", "max_tokens", most)
    if most is not None and int(most) > context:
        found = f"max_tokens={most} cannot be greater than max_model_len={context}. Please request fewer output tokens."
        raise refused_value(found, "max_tokens", most)
    heat, share = body.get("temperature"), body.get("top_p")
    if heat is not None and heat < 0:
        found = f"temperature must be non-negative, got {float(heat)}."
        raise refused_value(found, "temperature", float(heat))
    if heat is not None and heat > 2:
        found = f"temperature must be in [0, 2], got {float(heat)}."
        raise refused_value(found, "temperature", float(heat))
    if share is not None and not 0 < share <= 1:
        found = f"top_p must be in (0, 1], got {float(share)}."
        raise refused_value(found, "top_p", float(share))
    if "" in (body.get("stop") or ()):
        raise Refused("stop cannot contain an empty string.")
    if body.get("n", 1) < 1:
        raise Refused(f"n must be at least 1, got {body['n']}.")
    if body.get("n", 1) > 1:
        raise not_done("several answers at once")


def _check_integer(name: str, value: Any) -> None:
    try:
        int(0 if value is None else value)
    except ValueError as error:
        found = "Input should be a valid integer, unable to parse string as an integer"
        raise _malformed("int_parsing", name, found, str(value)) from error


def _check_logprobs(count: int | None) -> None:
    if count is not None and count > MOST_LOGPROBS:
        found = f"Requested sample logprobs of {count}, which is greater than max allowed: {MOST_LOGPROBS}"
        raise refused_value(found, "logprobs", count)


def _malformed(kind: str, name: str, found: str, given: str) -> Refused:
    detail = {"type": kind, "loc": f"body.{name}", "msg": found, "input": given}
    return Refused(f"1 validation error:\n  {detail}", 400, MALFORMED, f"body.{name}")


def error_body(refused: Refused) -> dict[str, Any]:
    """Return the body of a refusal."""
    return {
        "error": {
            "message": refused.found,
            "type": refused.kind,
            "param": refused.param,
            "code": refused.status,
        }
    }


def model_card(name: str, root: str, parent: str | None, context: int | None) -> dict[str, Any]:
    """Return a model as /v1/models lists it."""
    return {
        "id": name,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "vllm",
        "root": root,
        "parent": parent,
        "max_model_len": context,
    }


def answer_head(kind: str, model: str) -> dict[str, Any]:
    """Return the fields that every answer begins with."""
    identity = f"{'cmpl' if kind == 'text_completion' else 'chatcmpl'}-{uuid.uuid4().hex[:16]}"
    return {"id": identity, "object": kind, "created": int(time.time()), "model": model}


def answer_tail(finished: FinishedAnswer, *, ids: bool) -> dict[str, Any]:
    """Return the fields after the choices of an answer.

    Args:
        finished: The answer.
        ids: Whether the request asks for token ids.
    """
    return {
        "service_tier": None,
        "system_fingerprint": "vllm-0.32.0-standin",
        "usage": usage(finished) | {"prompt_tokens_details": None},
        "kv_transfer_params": None,
        **({"prompt_token_ids": finished.answer.prompt_token_ids} if ids else {}),
    }


def usage(finished: FinishedAnswer) -> dict[str, Any]:
    """Return the token counts."""
    asked, written = len(finished.answer.prompt_token_ids), len(finished.answer.token_ids)
    return {
        "prompt_tokens": asked,
        "total_tokens": asked + written,
        "completion_tokens": written,
    }


def chat_choice(finished: FinishedAnswer, message: dict[str, Any], *, ids: bool) -> dict[str, Any]:
    """Return the choice of a chat answer, without log-probabilities.

    Args:
        finished: The answer.
        message: Its message.
        ids: Whether the request asks for token ids.
    """
    called = "tool_calls" in message
    return {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": "tool_calls" if called else finished.answer.finish_reason,
        "stop_reason": None,
        "token_ids": finished.answer.token_ids if ids else None,
    }


def chat_message(finished: FinishedAnswer, reply: ParsedReply | None, bare: str) -> dict[str, Any]:
    """Return the message of a chat answer.

    vLLM's parser accepts all calls of a reply or, if one is malformed, none; text after calls is
    dropped. Without a parser, special tokens are left out of the text.

    Args:
        finished: The answer.
        reply: The parts of the answer, if tools were offered.
        bare: The text without special tokens.
    """
    message: dict[str, Any] = {"role": "assistant", "content": bare, "refusal": None}
    message |= {"annotations": None, "audio": None, "function_call": None, "reasoning": None}
    if reply is None:
        return message
    if not reply.calls or any(call.arguments is None for call in reply.calls):
        return message | {"content": finished.text}
    before = finished.text.partition(_MARK)[0] if _MARK in finished.text else reply.content
    return message | {
        "content": before or None,
        "tool_calls": [_call(call) for call in finished.tool_calls],
    }


def _call(call: dict[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(json.loads(call["function"]["arguments"]), ensure_ascii=False)
    function = {"name": call["function"]["name"], "arguments": arguments}
    return {
        "id": f"chatcmpl-tool-{uuid.uuid4().hex[:16]}",
        "type": "function",
        "function": function,
    }


def chat_logprobs(answer: EngineAnswer, decode: Decode) -> dict[str, Any]:
    """Return the log-probabilities of a chat answer."""

    def entry(token: int, logprob: float) -> dict[str, Any]:
        text = decode([token])
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    pairs = enumerate(zip(answer.token_ids, answer.logprobs, strict=True))
    content = [
        entry(*pair) | {"top_logprobs": [entry(*top) for top in (answer.tops or {at: ()})[at]]}
        for at, pair in pairs
    ]
    return {"content": content}


def completion_logprobs(answer: EngineAnswer, decode: Decode, *, as_ids: bool) -> dict[str, Any]:
    """Return the log-probabilities of a completion; the token itself is always among the likeliest.

    Args:
        answer: The engine's answer.
        decode: Decodes token ids to text.
        as_ids: Whether tokens are named by their ids.
    """

    def name(token: int) -> str:
        return f"token_id:{token}" if as_ids else decode([token])

    names, offsets = [name(token) for token in answer.token_ids], [0]
    for one in names[:-1]:
        offsets.append(offsets[-1] + len(one))
    tops = answer.tops or [[] for _ in names]
    rows = zip(answer.token_ids, answer.logprobs, tops, strict=True)
    return {
        "text_offset": offsets,
        "token_logprobs": answer.logprobs,
        "tokens": names,
        "top_logprobs": [
            {name(token): logprob} | {name(other): value for other, value in top}
            for token, logprob, top in rows
        ],
    }
