"""Resolve a target to the chat model and options of one call.

`resolve_target` is the entry. A target is reached by an `adapter` option, by a model name, or by the
chat model of another backend with the request converted to its form.
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

from burnish.adapters.pointer import OWN, Target
from burnish.errors import ServingError
from burnish.langchain.request_forms import convert_to_openai, read_sampling
from burnish.records import Json
from burnish.serving.remote.endpoint import address_of

logger = logging.getLogger(__name__)

EMBEDDED = "embedded"
_RETRIES = 2  # few, because a user waits for the answer


class ModelBinding(NamedTuple):
    """The model of a call, its options, and the form of its answer."""

    model: Any  # a BaseChatModel; the routed model calls its protected hooks, as LangChain's own wrappers do
    kwargs: dict[str, Any]
    answers_by_tool: bool = False  # structured output is requested as a tool call


def resolve_target(
    target: Target | None, own: BaseChatModel, kwargs: dict[str, Any]
) -> ModelBinding:
    """Bind a call of the user's own model to a target.

    Args:
        target: The target; None means the user's own model, unchanged.
        own: The user's model.
        kwargs: Options bound to the call: tools, structured output, sampling.
    """
    if target is None:
        return ModelBinding(own, kwargs)
    if target.backend == EMBEDDED and _takes_adapters(type(own)):
        if target.base_model in ("", getattr(own, "base_model", "")):
            return ModelBinding(own, {**kwargs, "adapter": target.adapter})
    elif target.backend == OWN or _same_server(target.backend, own):
        name = target.adapter or target.base_model
        return ModelBinding(own, {**kwargs, "model": name} if name else kwargs)
    return _bind_remote(target, own, kwargs)


def names_another_model(own: BaseChatModel, kwargs: dict[str, Any]) -> bool:
    """Return True if a call names another model than the routed one; such calls are not routed."""
    asked = kwargs.get("model") or kwargs.get("model_name")
    names = [getattr(own, name, None) for name in ("model_name", "model", "model_id", "base_model")]
    return bool(asked) and asked not in names


def _bind_remote(target: Target, own: BaseChatModel, kwargs: dict[str, Any]) -> ModelBinding:
    """Bind the chat model of another backend, with options in its form."""
    asked = convert_to_openai(kwargs)
    _log_dropped(type(own).__name__, asked.dropped)
    tools, choice, rest = asked.tools, asked.tool_choice, dict(asked.options)
    by_tool = False
    if target.backend == EMBEDDED:
        structured = rest.pop("response_format", None)
        if structured is not None and not tools:
            by_tool = (tool := _convert_to_tool(structured)) is not None
            tools, choice = ([tool], _force_tool(tool)) if tool else ([], None)
        rest |= rest.pop("extra_body", None) or {}
    settings = read_sampling(own)
    if "stop" in settings:
        stop = settings.pop("stop")
        rest.setdefault("stop", [stop] if isinstance(stop, str) else list(stop))
    if tools:
        rest["tools"] = tools
        if choice is not None:
            rest["tool_choice"] = choice
    return ModelBinding(_chat_model(target, tuple(sorted(settings.items()))), rest, by_tool)


def _force_tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": tool["function"]["name"]}}


@lru_cache(maxsize=256)
def _log_dropped(model: str, names: tuple[str, ...]) -> None:
    """Log once per model class which options the adapter's backend does not support."""
    if names:
        logger.warning(
            "burnish: options of %s that the adapter's backend does not support are dropped: %s",
            model,
            ", ".join(names),
        )


@lru_cache(maxsize=64)
def _chat_model(target: Target, sampling: tuple[tuple[str, Any], ...]) -> BaseChatModel:
    """Make the chat model of a backend other than the user's own endpoint."""
    settings: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in sampling}
    if target.backend == EMBEDDED:
        from burnish.serving import EmbeddedChat

        known = {k: v for k, v in settings.items() if k in EmbeddedChat.model_fields}
        return EmbeddedChat(base_model=target.base_model, adapter=target.adapter, **known)
    try:
        from burnish.serving.remote.chat_model import make_remote_chat
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


def _convert_to_tool(structured: Any) -> dict[str, Any] | None:
    """Convert a structured-output schema to a tool; None for free JSON."""
    if not isinstance(structured, dict):
        return convert_to_openai_tool(structured)
    schema = structured.get("json_schema")
    if not schema:
        return None
    function = {"name": schema.get("name", "answer"), "parameters": schema.get("schema", {})}
    return {"type": "function", "function": function}


def convert_to_structured(result: ChatResult) -> ChatResult:
    """Convert a tool-call answer to the requested structured answer."""
    for generation in result.generations:
        message = generation.message
        if isinstance(message, AIMessage) and message.tool_calls:
            answer = message.tool_calls[0]["args"]
            message.content = json.dumps(answer)
            message.additional_kwargs = {**message.additional_kwargs, "parsed": answer}
            message.tool_calls = []
    return result


def stamp_message(
    message: Any, target: Target | None, stamp: dict[str, Json], *, model_name: str | None
) -> None:
    """Write version, arm and rollout into an answer.

    Args:
        message: The answer.
        target: Target of the call.
        stamp: Arm of the call and, during a rollout, its phase and share.
        model_name: The model that the server named.

    Raises:
        ServingError: If the server reports another version.
    """
    metadata = message.response_metadata or {}
    own = dict(metadata.get("burnish") or {})
    adapter = target.adapter if target is not None else None
    said = own.get("adapter", model_name)
    if adapter is not None and said is not None and said != adapter:
        raise ServingError(
            f"{target.backend if target else 'the model'} answered as {said!r}",
            f"adapter {adapter}, which was requested",
            "burnish canary status; load the adapter on every replica",
        )
    own |= {"adapter": own.get("adapter", adapter), **stamp}
    message.response_metadata = {**metadata, "burnish": own}
