"""The OpenAI client inside a `trace`: each chat completion is recorded by itself.

Knows: `chat.completions` of the client and of its copies, synchronous, asynchronous, streamed and
raw. Does not know: LangChain, how replies arrive (client_replies.py).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from burnish.capture.client_replies import ClientCall, receive_reply
from burnish.capture.handwritten import HandwrittenModelCall
from burnish.capture.wire import WireReply
from burnish.errors import CaptureError

_C = TypeVar("_C")
_TRANSPORT = ("timeout", "extra_headers", "extra_query")
_RECORDED = "_burnish_recorded"


def recording_client(client: _C) -> _C:
    """Return a copy of an OpenAI client whose chat completions are recorded inside a `trace`.

    Copies of the copy (`with_options`, `copy`) are recorded too.

    Args:
        client: An `OpenAI` or `AsyncOpenAI` client, or one of a compatible package.

    Raises:
        CaptureError: If the client has no chat completions.
    """
    try:
        twin: Any = client.with_options()  # pyright: ignore[reportAttributeAccessIssue]
        _record_completions(twin.chat.completions)
    except AttributeError as missing:
        raise CaptureError(
            f"trace.openai() got {type(client).__name__}, which lacks {missing.name}",
            "an OpenAI or AsyncOpenAI client",
            "burnish.trace.openai(openai.OpenAI())",
        ) from missing
    for name in ("copy", "with_options"):
        _record_copies(twin, name)
    return twin


def _record_completions(completions: Any) -> None:
    if _RECORDED in vars(completions):
        return
    completions.create = _recorded(completions.create)
    parse = getattr(completions, "parse", None)
    if parse is not None:  # asks the server by itself
        completions.parse = _recorded(parse)
    setattr(completions, _RECORDED, True)


def _record_copies(twin: Any, name: str) -> None:
    """Let copies of the client be recorded as it is."""
    copy = getattr(type(twin), name, None)
    if copy is None:
        return

    @functools.wraps(copy)
    def recorded_copy(*args: Any, **kwargs: Any) -> Any:
        made = copy(twin, *args, **kwargs)
        _record_completions(made.chat.completions)
        for again in ("copy", "with_options"):
            _record_copies(made, again)
        return made

    setattr(twin, name, recorded_copy)


def _asked(request: Mapping[str, Any]) -> HandwrittenModelCall:
    """Return the call that a request asks for."""
    given = {key: value for key, value in request.items() if _is_given(key, value)}
    messages = list(given.pop("messages", ()))
    wanted = given.get("response_format")
    if hasattr(wanted, "model_json_schema"):  # a class of pydantic, as `parse` takes it
        given["response_format"] = _format_of(wanted)
    return HandwrittenModelCall(messages, provider="openai", **given)


def _format_of(kind: Any) -> Any:
    """Return the response format that the client sends for a class."""
    try:
        from openai.lib._parsing import type_to_response_format_param

        return type_to_response_format_param(kind)
    except ImportError:  # the client has changed shape
        named = {"name": kind.__name__, "strict": True, "schema": kind.model_json_schema()}
        return {"type": "json_schema", "json_schema": named}


def _is_given(key: str, value: Any) -> bool:
    return key not in _TRANSPORT and type(value).__name__ not in ("NotGiven", "Omit")


def _recorded(create: Callable[..., Any]) -> Callable[..., Any]:
    """Return `create` such that it records; an asynchronous client's gives an awaitable."""

    @functools.wraps(create)
    def run(*args: Any, **request: Any) -> Any:
        call = ClientCall(functools.partial(_asked, request), WireReply())
        try:
            reply = create(*args, **request)
        except BaseException as error:
            call.close(error)
            raise
        if inspect.isawaitable(reply):
            return _awaited(reply, call)
        return receive_reply(reply, call)

    return run


async def _awaited(coming: Awaitable[Any], call: ClientCall) -> Any:
    try:
        reply = await coming
    except BaseException as error:
        call.close(error)
        raise
    return receive_reply(reply, call)
