"""`route`: a chat model whose every call goes to the version that the pointer names.

Knows: how a model becomes a routed one, which thread a call belongs to, what an answer carries.
Does not know: how the pointer moves (canary/), how a target is reached (targets.py).

The routed model is a copy whose class is a subclass of the user's class with the four generation
hooks replaced, so tools, structured output, streams, batches, retries and fallbacks stay those
of the user's model. A call that has begun keeps its version to the end.
"""

# ruff: noqa: SLF001 - the hooks of LangChain's chat models are underscored methods

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from burnish import settings
from burnish.canary.reconciler import Reconciler
from burnish.canary.router import Router, RoutingChoice
from burnish.capture.entering import leave_variable
from burnish.capture.recorder.context import ambient_config, current_thread_id
from burnish.errors import CaptureError
from burnish.langchain.takeover import Takeover, failure_of
from burnish.langchain.targets import (
    Way,
    as_structured,
    names_another_model,
    stamped,
    way_to,
)

Model = TypeVar("Model", bound=BaseChatModel)


class Route:
    """Whose pointer a routed model follows.

    Args:
        agent: Name of the agent.
        home: Folder of the workspace; None is the home of the settings, at each call.
    """

    __slots__ = ("_router", "_settings", "agent", "home")

    def __init__(self, agent: str, home: Path | None) -> None:
        self.agent = agent
        self.home = home
        self._settings: settings.Settings | None = None
        self._router: Router | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Route, (self.agent, self.home)

    def router(self) -> Router:
        """The router of this process."""
        now = settings.current()
        if self._router is None or now is not self._settings:
            self._router = Router.shared(self.home or now.home, self.agent)
            self._settings = now
        return self._router

    def reconciler(self) -> Reconciler:
        """The reconciler of this process."""
        return Reconciler.shared(self.home or settings.current().home, self.agent)


def route(model: Model, *, agent: str, home: Path | str | None = None) -> Model:
    """Let the version that serves an agent answer in place of a chat model.

    Args:
        model: The chat model itself; bind tools, retries and fallbacks afterwards.
        agent: Name of the agent whose pointer is followed.
        home: Folder of the workspace; by default that of the settings, at each call.

    Returns:
        A copy that is still an instance of the model's class. Sticky by thread; a call without
        a thread is stable. A call that is given another `model` than the model's own is answered
        by that one, unrouted.

    Raises:
        CaptureError: If it is not a chat model; says which inner model to route.
    """
    if not isinstance(model, BaseChatModel):
        raise _refusal(model, agent)
    given = getattr(type(model), "burnish_routes", None) or type(model)
    routed: Any = model.model_copy()
    folder = None if home is None else Path(home)
    _set_private(routed, "_burnish_route", Route(agent, folder))
    object.__setattr__(routed, "__class__", _routed_class(given, agent, folder))
    return routed


def is_routed(model: object) -> bool:
    """Whether a model came from route()."""
    return getattr(type(model), "burnish_routes", None) is not None


def current_thread(run_manager: Any = None) -> str | None:
    """The thread that this call belongs to, or None."""
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
"""The thread that the config of a call outside of a graph names."""


@contextmanager
def _thread_given(config: Any) -> Iterator[None]:
    configurable = (config or {}).get("configurable") or {}
    thread = configurable.get("thread_id")
    named = None if thread is None else str(thread)
    token = _given_thread.set(named)
    try:
        yield
    finally:
        leave_variable(_given_thread, token, named)


class _Call:
    """One call on its way: chosen at its start, the same to its end unless its version is gone."""

    def __init__(self, model: Any, run_manager: Any, kwargs: dict[str, Any]) -> None:
        self._model, self._kwargs = _plain(model), kwargs
        self._route = _route_of(model)
        self._takeover: Takeover | None = None
        self._first = True
        self._routed = self._route is not None and not names_another_model(self._model, kwargs)
        self.choice = RoutingChoice(None, "stable")
        if self._route is not None and self._routed:
            self.choice = self._route.router().choose(current_thread(run_manager))
        self.way: Way = way_to(self.choice.target, self._model, kwargs)

    def goes_on(self, error: BaseException) -> bool:
        """Whether another version answers instead of the one that failed; then `way` leads to it.

        A failure carries its version: capture and canary count it for the right arm.
        """
        self._stamp(error, self.choice.arm)
        if failure_of(error) is None or self._route is None:
            return False
        if not self._first:  # a stream that its server cut off: no evidence against the version
            self._stamp(error, "takeover")
            return False
        if self._takeover is None:
            router, reconciler = self._route.router(), self._route.reconciler()
            self._takeover = Takeover(router, reconciler, self.choice)
        chosen = self._takeover.next(self.choice, error)
        if chosen is None:  # no evidence against the version: nobody could have answered
            self._stamp(error, "takeover" if self._routed else self.choice.arm)
            return False
        self.choice = chosen
        self.way = way_to(chosen.target, self._model, self._kwargs)
        return True

    async def agoes_on(self, error: BaseException) -> bool:
        """The same without blocking the event loop while a version is loaded again."""
        if failure_of(error) is None or not isinstance(error, Exception):
            return self.goes_on(error)
        return await asyncio.to_thread(self.goes_on, error)

    def _stamp(self, error: BaseException, arm: str) -> None:
        if not self._routed:
            return
        target = self.choice.target
        with suppress(AttributeError, TypeError):  # an exception that takes no attribute
            error.burnish_answered = {  # type: ignore[attr-defined]
                "adapter": target.adapter if target is not None else None,
                "arm": arm,
            }

    def result(self, result: ChatResult) -> ChatResult:
        """The answer with its stamp."""
        if self.way.answers_by_tool:
            result = as_structured(result)
        said = (result.llm_output or {}).get("model_name")
        for generation in result.generations if self._routed else ():
            name = (generation.message.response_metadata or {}).get("model_name", said)
            stamped(generation.message, *self.choice, model_name=name)
        return result

    def chunk(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk:
        """A piece of a stream: the first carries the stamp, since pieces are added up."""
        message = chunk.message
        if not self._routed:
            self._first = False
            return chunk
        said = (chunk.generation_info or {}).get("model_name")
        stamped(message, *self.choice, model_name=message.response_metadata.get("model_name", said))
        if not self._first:
            own = message.response_metadata["burnish"]
            rest = {key: value for key, value in own.items() if key not in ("adapter", "arm")}
            message.response_metadata.pop("burnish")
            if rest:
                message.response_metadata["burnish"] = rest
        self._first = False
        return chunk

    def whole(self, result: ChatResult) -> ChatGenerationChunk:
        """A whole answer as the only piece of a stream."""
        message: Any = self.result(result).generations[0].message
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
    call = _Call(self, run_manager, kwargs)
    while True:
        model, given, _ = call.way
        asked = {"stop": stop, "run_manager": run_manager, **given}
        try:
            return call.result(model._generate(messages, **asked))
        except BaseException as error:
            if not call.goes_on(error):
                raise


async def _agenerate(
    self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
) -> ChatResult:
    call = _Call(self, run_manager, kwargs)
    while True:
        model, given, _ = call.way
        asked = {"stop": stop, "run_manager": run_manager, **given}
        try:
            return call.result(await model._agenerate(messages, **asked))
        except BaseException as error:
            if not await call.agoes_on(error):
                raise


def _stream(
    self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
) -> Iterator[ChatGenerationChunk]:
    call = _Call(self, run_manager, kwargs)
    while True:
        model, given, by_tool = call.way
        asked = {"stop": stop, "run_manager": run_manager, **given}
        try:
            if by_tool:
                yield call.whole(model._generate(messages, **asked))
            else:
                for chunk in model._stream(messages, **asked):
                    yield call.chunk(chunk)
        except BaseException as error:
            if not call.goes_on(error):
                raise
        else:
            return


async def _astream(
    self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
) -> AsyncIterator[ChatGenerationChunk]:
    call = _Call(self, run_manager, kwargs)
    while True:
        model, given, by_tool = call.way
        asked = {"stop": stop, "run_manager": run_manager, **given}
        try:
            if by_tool:
                yield call.whole(await model._agenerate(messages, **asked))
            else:
                async for chunk in model._astream(messages, **asked):
                    yield call.chunk(chunk)
        except BaseException as error:
            if not await call.agoes_on(error):
                raise
        else:
            return


def _entry_points(given: type[BaseChatModel]) -> dict[str, Any]:
    """`invoke`, `stream` and their async forms, which let the hooks see the config's thread.

    Outside of a graph, LangChain tells the hooks nothing about it.
    """

    def invoke(self: Any, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002
        with _thread_given(config):
            return given.invoke(self, input, config, **kwargs)

    async def ainvoke(self: Any, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002
        with _thread_given(config):
            return await given.ainvoke(self, input, config, **kwargs)

    def stream(self: Any, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:  # noqa: A002
        pieces: Any = given.stream(self, input, config, **kwargs)
        with _thread_given(config):
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
        with _thread_given(config):
            first = await anext(pieces, None)
        async with aclosing(pieces):
            if first is not None:
                yield first
            async for piece in pieces:
                yield piece

    made = {"invoke": invoke, "ainvoke": ainvoke, "stream": stream, "astream": astream}
    return {name: wraps(getattr(given, name))(method) for name, method in made.items()}


def _get_llm_string(self: Any, stop: list[str] | None = None, **kwargs: Any) -> str:
    """Key of LangChain's answer cache: an answer of one version is none of another."""
    way = _route_of(self)
    target = way.router().choose(current_thread(), counted=False).target if way else None
    return f"{_plain(self)._get_llm_string(stop, **kwargs)}---{target}"


def _reduce(self: Any) -> tuple[Any, ...]:
    return _unpickled, (_plain(self), _route_of(self))


def _unpickled(model: BaseChatModel, way: Route | None) -> BaseChatModel:
    return model if way is None else route(model, agent=way.agent, home=way.home)


@lru_cache(maxsize=256)
def _routed_class(given: type[BaseChatModel], agent: str, home: Path | None) -> type[BaseChatModel]:
    """The user's class with the generation hooks replaced; one for each class and route.

    `configurable_fields` and the like make further instances of it, which know no more than it.
    """
    own: dict[str, Any] = {
        "__module__": given.__module__,
        "__qualname__": given.__qualname__,
        "__doc__": given.__doc__,
        "__reduce__": _reduce,
        "__annotations__": {"_burnish_route": Any},
        "_burnish_route": PrivateAttr(default=None),
        **_entry_points(given),
        "_generate": _generate,
        "_agenerate": _agenerate,
        "_get_llm_string": _get_llm_string,
    }
    streams = given._stream is not BaseChatModel._stream
    if streams:
        own["_stream"] = _stream
    if streams or given._astream is not BaseChatModel._astream:
        own["_astream"] = _astream
    for native in ("_stream_chat_model_events", "_astream_chat_model_events"):
        if getattr(given, native, None) is not None:
            own[native] = property(lambda _: None)  # streams are made from the hooks above
    metaclass: Any = type(given)
    made = metaclass(given.__name__, (given,), own)
    made.burnish_routes = given
    made.burnish_route = Route(agent, home)
    return made


def _route_of(model: Any) -> Route | None:
    """The route of a model; one that LangChain made anew of its class follows that of the class."""
    own = (model.__pydantic_private__ or {}).get("_burnish_route")
    return own or type(model).burnish_route


def _plain(model: Any) -> Any:
    """The same model, same fields, without the routing: a second view of its state."""
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


def _refusal(model: Any, agent: str) -> CaptureError:
    """What to route instead of a binding, a retry, a fallback or a configurable model."""
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
