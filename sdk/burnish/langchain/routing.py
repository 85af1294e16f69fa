"""Route each call of a chat model to the version that the pointer names.

`route` is the entry; `targets.py` reaches the target, `canary/` moves the pointer.
"""

# How it works: the routed model is a copy whose class is a subclass of the user's class with the four
# generation hooks replaced, so tools, structured output, streams, batches, retries and fallbacks stay
# those of the user's model. A call keeps its version to the end, unless that version is lost.

# ruff: noqa: SLF001 - the hooks of LangChain's chat models are underscored methods

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import aclosing, contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from burnish import settings
from burnish.canary.reconciler import Reconciler
from burnish.canary.router import Router, RoutingChoice
from burnish.capture.notices import notice_undeclared_agent
from burnish.capture.recorder.context import ambient_config, current_thread_id
from burnish.capture.sync_async_context import leave_variable
from burnish.errors import CaptureError
from burnish.langchain.prompts import take_choice
from burnish.langchain.takeover import Takeover, classify_failure
from burnish.langchain.targets import (
    ModelBinding,
    convert_to_structured,
    names_another_model,
    resolve_target,
    stamp_message,
)

Model = TypeVar("Model", bound=BaseChatModel)


class RouteBinding:
    """The agent whose pointer a routed model follows.

    Args:
        agent: Name of the agent.
        home: Folder of the workspace; None means the home of the settings, at each call.
    """

    __slots__ = ("_router", "_settings", "agent", "home")

    def __init__(self, agent: str, home: Path | None) -> None:
        self.agent = agent
        self.home = home
        self._settings: settings.Settings | None = None
        self._router: Router | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return RouteBinding, (self.agent, self.home)

    def find_router(self) -> Router:
        """Return the router of this process."""
        now = settings.current()
        if self._router is None or now is not self._settings:
            self._router = Router.shared(self.home or now.home, self.agent)
            self._settings = now
        return self._router

    def choose_target(self, thread_id: str | None) -> RoutingChoice:
        """Choose the target of a call; a prompt that was just given for it belongs to the same choice."""
        router = self.find_router()
        held = take_choice(self.agent, self.home or settings.current().home, thread_id)
        if held is None:
            return router.choose(thread_id)
        router.count_call(held, thread_id)
        return held

    def find_reconciler(self) -> Reconciler:
        """Return the reconciler of this process."""
        return Reconciler.shared(self.home or settings.current().home, self.agent)


def route(model: Model, *, agent: str, home: Path | str | None = None) -> Model:
    """Return a copy of a chat model whose calls go to the version that serves an agent.

    Args:
        model: The chat model itself; bind tools, retries and fallbacks afterwards.
        agent: Name of the agent in the workspace.
        home: Folder of the workspace; by default that of the settings, at each call.

    Returns:
        A copy that is still an instance of the model's class. It is sticky by thread; a call
        without a thread is stable. A call with another `model` argument than the model's own is
        not routed.

    Raises:
        CaptureError: If it is not a chat model; the message names the inner model to route.
    """
    if not isinstance(cast("object", model), BaseChatModel):
        raise _refuse_model(model, agent)
    notice_undeclared_agent(agent, "route()")
    given = getattr(type(model), "burnish_routes", None) or type(model)
    routed: Any = model.model_copy()
    folder = None if home is None else Path(home)
    _set_private(routed, "_burnish_route", RouteBinding(agent, folder))
    object.__setattr__(routed, "__class__", _routed_class(given, agent, folder))
    return routed


def is_routed(model: object) -> bool:
    """Return True if a model came from route()."""
    return getattr(type(model), "burnish_routes", None) is not None


def find_current_thread(run_manager: Any = None) -> str | None:
    """Return the thread id of this call, or None."""
    thread = current_thread_id() or _given_thread.get()
    if thread is not None:
        return thread
    for metadata in (
        getattr(run_manager, "metadata", None),
        (ambient_config() or {}).get("metadata"),
    ):
        if metadata and metadata.get("thread_id") is not None:
            return str(metadata["thread_id"])
    return None


_given_thread: ContextVar[str | None] = ContextVar("burnish_given_thread", default=None)
"""Thread id in the config of a call outside of a graph."""


@contextmanager
def _set_given_thread(config: Any) -> Generator[None]:
    configurable = (config or {}).get("configurable") or {}
    thread = configurable.get("thread_id")
    named = None if thread is None else str(thread)
    token = _given_thread.set(named)
    try:
        yield
    finally:
        leave_variable(_given_thread, token, named)


class _RoutedCall:
    """One call: its version is chosen at the start and kept unless the backend loses it."""

    def __init__(self, model: Any, run_manager: Any, kwargs: dict[str, Any]) -> None:
        self._model, self._kwargs = _unrouted_view(model), kwargs
        self._route = _find_route(model)
        self._takeover: Takeover | None = None
        self._first = True
        self._routed = self._route is not None and not names_another_model(self._model, kwargs)
        self.choice = RoutingChoice(None, "stable")
        if self._route is not None and self._routed:
            self.choice = self._route.choose_target(find_current_thread(run_manager))
        self.binding: ModelBinding = resolve_target(self.choice.target, self._model, kwargs)

    def retry_elsewhere(self, error: BaseException) -> bool:
        """Switch `binding` to another version after a failure; return False if none can answer.

        The error is stamped with its version, so that capture and canary count it for the right arm.
        """
        self._stamp_error(error, self.choice.arm)
        if classify_failure(error) is None or self._route is None:
            return False
        if not self._first:  # a stream that its server cut off: no evidence against the version
            self._stamp_error(error, "takeover")
            return False
        if self._takeover is None:
            router, reconciler = self._route.find_router(), self._route.find_reconciler()
            self._takeover = Takeover(router, reconciler, self.choice)
        chosen = self._takeover.choose_next(self.choice, error)
        if chosen is None:  # no version could have answered: evidence against none
            self._stamp_error(error, "takeover" if self._routed else self.choice.arm)
            return False
        self.choice = chosen
        self.binding = resolve_target(chosen.target, self._model, self._kwargs)
        return True

    async def aretry_elsewhere(self, error: BaseException) -> bool:
        """Run `retry_elsewhere` without blocking the event loop while a version is reloaded."""
        if classify_failure(error) is None or not isinstance(error, Exception):
            return self.retry_elsewhere(error)
        return await asyncio.to_thread(self.retry_elsewhere, error)

    def _stamp_error(self, error: BaseException, arm: str) -> None:
        if not self._routed:
            return
        target = self.choice.target
        with suppress(AttributeError, TypeError):  # some exceptions allow no attributes
            error.burnish_answered = {  # type: ignore[attr-defined]
                "adapter": target.adapter if target is not None else None,
                **self.choice.stamp,
                "arm": arm,
            }

    def stamp_result(self, result: ChatResult) -> ChatResult:
        """Stamp the messages of a result."""
        if self.binding.answers_by_tool:
            result = convert_to_structured(result)
        said = (result.llm_output or {}).get("model_name")
        for generation in result.generations if self._routed else ():
            name = (generation.message.response_metadata or {}).get("model_name", said)
            stamp_message(
                generation.message, self.choice.target, self.choice.stamp, model_name=name
            )
        return result

    def stamp_chunk(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk:
        """Stamp the first chunk of a stream; LangChain adds chunks up."""
        message = chunk.message
        if not self._routed:
            self._first = False
            return chunk
        said = (chunk.generation_info or {}).get("model_name")
        name = message.response_metadata.get("model_name", said)
        stamp_message(message, self.choice.target, self.choice.stamp, model_name=name)
        if not self._first:
            own = message.response_metadata["burnish"]
            known = ("adapter", *self.choice.stamp)
            rest = {key: value for key, value in own.items() if key not in known}
            message.response_metadata.pop("burnish")
            if rest:
                message.response_metadata["burnish"] = rest
        self._first = False
        return chunk

    def make_whole_chunk(self, result: ChatResult) -> ChatGenerationChunk:
        """Convert a result to the only chunk of a stream."""
        message: Any = self.stamp_result(result).generations[0].message
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content=message.content,
                additional_kwargs=message.additional_kwargs,
                response_metadata=message.response_metadata,
                usage_metadata=message.usage_metadata,
                chunk_position="last",
            )
        )


def _generate(
    self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
) -> ChatResult:
    call = _RoutedCall(self, run_manager, kwargs)
    while True:
        model, given, _ = call.binding
        asked = {"stop": stop, "run_manager": run_manager, **given}
        try:
            return call.stamp_result(model._generate(messages, **asked))
        except BaseException as error:
            if not call.retry_elsewhere(error):
                raise


async def _agenerate(
    self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
) -> ChatResult:
    call = _RoutedCall(self, run_manager, kwargs)
    while True:
        model, given, _ = call.binding
        asked = {"stop": stop, "run_manager": run_manager, **given}
        try:
            return call.stamp_result(await model._agenerate(messages, **asked))
        except BaseException as error:
            if not await call.aretry_elsewhere(error):
                raise


def _stream(
    self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
) -> Iterator[ChatGenerationChunk]:
    call = _RoutedCall(self, run_manager, kwargs)
    while True:
        model, given, by_tool = call.binding
        asked = {"stop": stop, "run_manager": run_manager, **given}
        try:
            if by_tool:
                yield call.make_whole_chunk(model._generate(messages, **asked))
            else:
                for chunk in model._stream(messages, **asked):
                    yield call.stamp_chunk(chunk)
        except BaseException as error:
            if not call.retry_elsewhere(error):
                raise
        else:
            return


async def _astream(
    self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
) -> AsyncIterator[ChatGenerationChunk]:
    call = _RoutedCall(self, run_manager, kwargs)
    while True:
        model, given, by_tool = call.binding
        asked = {"stop": stop, "run_manager": run_manager, **given}
        try:
            if by_tool:
                yield call.make_whole_chunk(await model._agenerate(messages, **asked))
            else:
                async for chunk in model._astream(messages, **asked):
                    yield call.stamp_chunk(chunk)
        except BaseException as error:
            if not await call.aretry_elsewhere(error):
                raise
        else:
            return


def _has_own(kind: type[BaseChatModel], name: str) -> bool:
    """Return True if a class of chat models implements an optional hook of LangChain itself."""
    return getattr(kind, name) is not getattr(BaseChatModel, name)


def _make_entry_points(given: type[BaseChatModel]) -> dict[str, Any]:
    """Make `invoke`, `stream` and their async forms, which pass the config's thread to the hooks.

    Outside of a graph, LangChain does not pass it.
    """

    def invoke(self: Any, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002
        with _set_given_thread(config):
            return given.invoke(self, input, config, **kwargs)

    async def ainvoke(self: Any, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002
        with _set_given_thread(config):
            return await given.ainvoke(self, input, config, **kwargs)

    def stream(self: Any, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:  # noqa: A002
        pieces: Any = given.stream(self, input, config, **kwargs)
        with _set_given_thread(config):
            first = next(pieces, None)  # the choice is made in the first step
        if first is not None:
            yield first
        yield from pieces

    async def astream(
        self: Any,
        input: Any,  # noqa: A002
        config: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        pieces: Any = given.astream(self, input, config, **kwargs)
        with _set_given_thread(config):
            first = await anext(pieces, None)
        async with aclosing(pieces):
            if first is not None:
                yield first
            async for piece in pieces:
                yield piece

    made = {"invoke": invoke, "ainvoke": ainvoke, "stream": stream, "astream": astream}
    return {name: wraps(getattr(given, name))(method) for name, method in made.items()}


def _get_llm_string(self: Any, stop: list[str] | None = None, **kwargs: Any) -> str:
    """Add the target to the key of LangChain's cache, so that versions share no answers."""
    way = _find_route(self)
    target = way.find_router().choose(find_current_thread(), counted=False).target if way else None
    return f"{_unrouted_view(self)._get_llm_string(stop, **kwargs)}---{target}"


def _reduce_routed(self: Any) -> tuple[Any, ...]:
    return _unpickle_routed, (_unrouted_view(self), _find_route(self))


def _unpickle_routed(model: BaseChatModel, way: RouteBinding | None) -> BaseChatModel:
    return model if way is None else route(model, agent=way.agent, home=way.home)


@lru_cache(maxsize=256)
def _routed_class(given: type[BaseChatModel], agent: str, home: Path | None) -> type[BaseChatModel]:
    """Make the user's class with the generation hooks replaced; one for each class and route.

    `configurable_fields` and similar calls make further instances from the class alone.
    """
    own: dict[str, Any] = {
        "__module__": given.__module__,
        "__qualname__": given.__qualname__,
        "__doc__": given.__doc__,
        "__reduce__": _reduce_routed,
        "__annotations__": {"_burnish_route": Any},
        "_burnish_route": PrivateAttr(default=None),
        **_make_entry_points(given),
        "_generate": _generate,
        "_agenerate": _agenerate,
        "_get_llm_string": _get_llm_string,
    }
    streams = _has_own(given, "_stream")
    if streams:
        own["_stream"] = _stream
    if streams or _has_own(given, "_astream"):
        own["_astream"] = _astream
    for native in ("_stream_chat_model_events", "_astream_chat_model_events"):
        if getattr(given, native, None) is not None:
            own[native] = property(lambda _: None)  # streams use the hooks above
    metaclass: Any = type(given)
    made = metaclass(given.__name__, (given,), own)
    made.burnish_routes = given
    made.burnish_route = RouteBinding(agent, home)
    return made


def _find_route(model: Any) -> RouteBinding | None:
    """Return the route of a model; an instance that LangChain created uses that of its class."""
    own = (model.__pydantic_private__ or {}).get("_burnish_route")
    return own or type(model).burnish_route


def _unrouted_view(model: Any) -> Any:
    """Return the model without routing: another view of the same state."""
    given: Any = type(model).burnish_routes
    view = object.__new__(given)
    for name in _STATE:
        object.__setattr__(view, name, getattr(model, name))
    return view


_STATE = (
    "__dict__",
    "__pydantic_private__",
    "__pydantic_extra__",
    "__pydantic_fields_set__",
)


def _set_private(model: Any, name: str, value: Any) -> None:
    kept = model.__pydantic_private__ or {}
    object.__setattr__(model, "__pydantic_private__", {**kept, name: value})


_INNER = ("bound", "runnable", "default", "model", "first")


def _refuse_model(model: Any, agent: str) -> CaptureError:
    """Make the error that names the inner model of a binding, retry, fallback or configurable model."""
    kind, inner = type(model).__name__, model
    for _ in range(5):
        held = getattr(inner, "__dict__", {})
        found = next((held[name] for name in _INNER if held.get(name)), None)
        if found is None or isinstance(inner, BaseChatModel):
            break
        inner = found
    name = type(inner).__name__ if isinstance(inner, BaseChatModel) else None
    configured = (getattr(inner, "__dict__", {}).get("_default_config") or {}).get("model")
    if configured:
        name = f'init_chat_model("{configured}")'
    return CaptureError(
        f"route() got a {kind}",
        f"the chat model inside it, {name}" if name else "a LangChain chat model",
        f'burnish.route({name or "ChatOpenAI"}{"" if configured else "(...)"}, agent="{agent}"), '
        "and bind tools, retries and fallbacks to what it returns",
    )
