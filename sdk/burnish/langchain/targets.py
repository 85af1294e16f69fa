"""How one call reaches the target that was chosen for it.

Knows: which models take an adapter, which take a model name, which chat model a backend has, and
how a request made for one model is put to another. Does not know: why the target was chosen.
"""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool

from burnish.adapters.pointer import Target
from burnish.errors import ServingError
from burnish.langchain.request_forms import sampling_of, to_openai
from burnish.serving.endpoint import address_of

logger = logging.getLogger(__name__)

EMBEDDED, OWN = "embedded", "own"
_RETRIES = 2  # a user waits for the answer


class Way(NamedTuple):
    """Where a call goes: the model to ask, what to add to the call, how to read the answer."""

    model: BaseChatModel
    kwargs: dict[str, Any]
    answers_by_tool: bool = False  # structured output was asked for as a tool call


def way_to(target: Target | None, own: BaseChatModel, kwargs: dict[str, Any]) -> Way:
    """How a call of the user's own model reaches the target.

    Args:
        target: Who is to answer; None is the user's own model as it is.
        own: The user's model.
        kwargs: What the call was bound with: tools, structured output, sampling.
    """
    if target is None:
        return Way(own, kwargs)
    if target.backend == EMBEDDED and _takes_adapters(type(own)):
        if target.base_model in ("", getattr(own, "base_model", "")):
            return Way(own, {**kwargs, "adapter": target.adapter})
    elif target.backend == OWN or _same_server(target.backend, own):
        name = target.adapter or target.base_model
        return Way(own, {**kwargs, "model": name} if name else kwargs)
    return _way_elsewhere(target, own, kwargs)


def names_another_model(own: BaseChatModel, kwargs: dict[str, Any]) -> bool:
    """Whether a call asks for another model than the routed one, which is the caller's decision."""
    asked = kwargs.get("model") or kwargs.get("model_name")
    names = [getattr(own, name, None) for name in ("model_name", "model", "model_id", "base_model")]
    return bool(asked) and asked not in names


def _way_elsewhere(target: Target, own: BaseChatModel, kwargs: dict[str, Any]) -> Way:
    """The chat model of another backend, asked in its own form."""
    asked = to_openai(kwargs)
    _tell_dropped(type(own).__name__, asked.dropped)
    tools, choice, rest = asked.tools, asked.tool_choice, dict(asked.options)
    by_tool = False
    if target.backend == EMBEDDED:
        structured = rest.pop("response_format", None)
        if structured is not None and not tools:
            by_tool = (tool := _as_tool(structured)) is not None
            tools, choice = ([tool], _forced(tool)) if tool else ([], None)
        rest |= rest.pop("extra_body", None) or {}
    settings = sampling_of(own)
    if "stop" in settings:
        stop = settings.pop("stop")
        rest.setdefault("stop", [stop] if isinstance(stop, str) else list(stop))
    if tools:
        rest["tools"] = tools
        if choice is not None:
            rest["tool_choice"] = choice
    return Way(_chat_model(target, tuple(sorted(settings.items()))), rest, by_tool)


def _forced(tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": tool["function"]["name"]}}


@lru_cache(maxsize=256)
def _tell_dropped(model: str, names: tuple[str, ...]) -> None:
    """Say once for a kind of model which of its options an adapter's backend does not have."""
    if names:
        logger.warning(
            "burnish: options of %s that the adapter's backend does not have are left out: %s",
            model,
            ", ".join(names),
        )


@lru_cache(maxsize=64)
def _chat_model(target: Target, sampling: tuple[tuple[str, Any], ...]) -> BaseChatModel:
    """The chat model of a backend that is not the user's own endpoint."""
    settings: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in sampling}
    if target.backend == EMBEDDED:
        from burnish.serving import EmbeddedChat

        known = {k: v for k, v in settings.items() if k in EmbeddedChat.model_fields}
        return EmbeddedChat(base_model=target.base_model, adapter=target.adapter, **known)
    try:
        from burnish.serving.remote_chat import make_remote_chat
    except ImportError as missing:
        raise ServingError(
            f"backend {target.backend} needs the package langchain-openai",
            "a client for OpenAI-compatible servers",
            "pip install 'burnish[langchain]'",
        ) from missing
    beyond = {k: settings.pop(k) for k in ("top_k", "repetition_penalty") if k in settings}
    if beyond:
        settings["extra_body"] = beyond
    name = target.base_model or None
    return make_remote_chat(target.backend, name, target.adapter, retries=_RETRIES, **settings)


@lru_cache(maxsize=256)
def _takes_adapters(model: type[BaseChatModel]) -> bool:
    return "adapter" in model.model_fields


def _same_server(backend: str, own: BaseChatModel) -> bool:
    used = getattr(own, "openai_api_base", None) or getattr(own, "base_url", None)
    return bool(used) and address_of(str(used)) == address_of(backend)


def _as_tool(structured: Any) -> dict[str, Any] | None:
    """The tool whose arguments are the wanted structure; None for free JSON."""
    if not isinstance(structured, dict):
        return convert_to_openai_tool(structured)
    schema = structured.get("json_schema")
    if not schema:
        return None
    function = {"name": schema.get("name", "answer"), "parameters": schema.get("schema", {})}
    return {"type": "function", "function": function}


def as_structured(result: ChatResult) -> ChatResult:
    """The answer of a tool call as the structured answer that was asked for."""
    for generation in result.generations:
        message = generation.message
        if isinstance(message, AIMessage) and message.tool_calls:
            answer = message.tool_calls[0]["args"]
            message.content = json.dumps(answer)
            message.additional_kwargs = {**message.additional_kwargs, "parsed": answer}
            message.tool_calls = []
    return result


def stamped(message: Any, target: Target | None, arm: str, *, model_name: str | None) -> None:
    """Write into an answer which version gave it, and as which arm.

    Raises:
        ServingError: If the server says that another version answered.
    """
    metadata = message.response_metadata or {}
    own = dict(metadata.get("burnish") or {})
    adapter = target.adapter if target is not None else None
    said = own.get("adapter", model_name)
    if adapter is not None and said is not None and said != adapter:
        raise ServingError(
            f"{target.backend if target else 'the model'} answered as {said!r}",
            f"adapter {adapter}, which was asked for",
            "burnish canary status; load the adapter on every replica",
        )
    own |= {"adapter": own.get("adapter", adapter), "arm": arm}
    message.response_metadata = {**metadata, "burnish": own}
