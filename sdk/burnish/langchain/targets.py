"""How one call reaches the target that was chosen for it.

Knows: which models take an adapter, which take a model name, which chat model a backend has, and
how a request made for one model is put to another. Does not know: why the target was chosen.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool

from burnish.adapters.pointer import Target
from burnish.errors import ServingError

EMBEDDED, OWN = "embedded", "own"
_SAMPLING = ("temperature", "max_tokens", "top_p", "seed")


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


def _way_elsewhere(target: Target, own: BaseChatModel, kwargs: dict[str, Any]) -> Way:
    given = tuple(
        (name, value) for name in _SAMPLING if (value := getattr(own, name, None)) is not None
    )
    model = _chat_model(target, given)
    rest = {name: value for name, value in kwargs.items() if name in (*_SAMPLING, "stop")}
    by_tool = False
    tools, choice = list(kwargs.get("tools") or ()), kwargs.get("tool_choice")
    structured = kwargs.get("response_format")
    if target.backend != EMBEDDED:
        rest = {name: value for name, value in kwargs.items() if name not in ("model", "tools")}
        rest.pop("tool_choice", None)
    elif structured is not None and not tools:
        by_tool = (tool := _as_tool(structured)) is not None
        tools, choice = ([tool], tool["function"]["name"]) if tool else ([], None)
    if tools:
        bound: Any = model.bind_tools(tools, **({"tool_choice": choice} if choice else {}))
        rest |= bound.kwargs
    return Way(model, rest, by_tool)


@lru_cache(maxsize=64)
def _chat_model(target: Target, sampling: tuple[tuple[str, Any], ...]) -> BaseChatModel:
    """The chat model of a backend that is not the user's own endpoint."""
    if target.backend == EMBEDDED:
        from burnish.serving import EmbeddedChat

        return EmbeddedChat(base_model=target.base_model, adapter=target.adapter, **dict(sampling))
    try:
        from langchain_openai import ChatOpenAI
    except ImportError as missing:
        raise ServingError(
            f"backend {target.backend} needs the package langchain-openai",
            "a client for OpenAI-compatible servers",
            "pip install 'burnish[langchain]'",
        ) from missing
    return ChatOpenAI(
        base_url=f"{_address(target.backend)}/v1",
        api_key=lambda: os.environ.get("BURNISH_TOKEN", "none"),
        model=target.adapter or target.base_model,
        **dict(sampling),
    )


@lru_cache(maxsize=256)
def _takes_adapters(model: type[BaseChatModel]) -> bool:
    return "adapter" in model.model_fields


def _same_server(backend: str, own: BaseChatModel) -> bool:
    used = getattr(own, "openai_api_base", None) or getattr(own, "base_url", None)
    return bool(used) and _address(str(used)) == _address(backend)


@lru_cache(maxsize=256)
def _address(url: str) -> str:
    """Scheme, host, port and path without a closing `/v1`, so that spellings compare."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/").removesuffix("/v1")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


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
