"""Wrap a runnable: make a copy whose entry points record their runs.

`wrap` is the entry. `invocation` and the modules below it record.

How it works: the copy has a subclass whose entry points call the original's with the config that
`enter` returns. Entry points that end in another one (`invoke` of a graph in its `stream`, `batch`
in `invoke`) are recognised by the run: its id is in the config, or it has not started yet.
"""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

from burnish.capture.api.custom_runnables import is_handwritten, record_entry
from burnish.capture.api.tracing import EntryScopes
from burnish.capture.langchain import resume
from burnish.capture.langchain.callback_handler import shared_handler
from burnish.capture.langchain.event_streams import end_with_stream
from burnish.capture.langchain.invocation import (
    EntryPoint,
    Invocation,
    enter,
    enter_resumed,
    is_entered,
)
from burnish.capture.notices import notice_undeclared_agent
from burnish.capture.run_start import Agent
from burnish.errors import CaptureError

_R = TypeVar("_R")
_MARK = "__burnish__"


def wrap(graph: _R, *, agent: str, tags: Sequence[str] = ()) -> _R:
    """Copy a LangGraph graph or LangChain runnable; runs of the copy are recorded.

    Behaviour, results, streams and exceptions stay those of the original, which itself stays
    unrecorded. Wrapping twice is harmless; the last name counts.

    Args:
        graph: Any compiled graph or runnable.
        agent: Name of the agent, as in `burnish.toml`.
        tags: Labels of each trajectory of this agent.

    Raises:
        CaptureError: If `graph` is not a runnable, or the name is empty.
    """
    if not isinstance(cast("object", agent), str) or not agent:
        raise CaptureError(
            f"wrap() got the agent name {agent!r}", "a name", 'burnish.wrap(graph, agent="support")'
        )
    if isinstance(graph, type) or not callable(getattr(graph, "invoke", None)):
        raise CaptureError(
            f"wrap() got {type(graph).__name__}, which has no invoke()",
            "a compiled LangGraph graph or a LangChain runnable",
            "graph.compile() first, or @burnish.trace(agent=...) for any other function",
        )
    notice_undeclared_agent(agent, "wrap()")
    shared_handler()
    original = getattr(type(graph), _MARK, (type(graph), None))[0]
    twin = _copy_shallow(graph)
    named = Agent(agent, tuple(tags))
    made = _scoped_class if is_handwritten(graph) else _class_for
    object.__setattr__(twin, "__class__", made(original, named))
    return twin


@functools.cache
def _scoped_class(original: type, agent: Agent) -> type:
    """Make a subclass of a custom runnable: each call of an entry point is a scope."""
    body = _plain_body(original)
    for name in (*_RECORDED, *_RECORDED_LISTS):
        inner = getattr(original, name, None)
        if inner is not None and not _is_default(inner):
            body[name] = record_entry(EntryScopes(agent, name), name, inner)
    return _marked_class(original, agent, body)


@functools.cache
def _class_for(original: type, agent: Agent) -> type:
    """Return the recording subclass; one per class and agent."""
    body = _plain_body(original)
    plain = _runs_as_any_graph(original)
    for name, recorded in _RECORDED.items():
        inner = getattr(original, name, None)
        if inner is not None and not (plain and name in _ENDING_IN_STREAM):
            entry = EntryPoint(name, starts_first=plain and name in _STARTING)
            body[name] = functools.wraps(inner)(recorded(agent, entry, inner))
    further = _RECORDED_LISTS if _is_graph(original) else _RECORDED_LISTS | _RECORDED_READINGS
    for name, recorded in further.items():
        inner = getattr(original, name, None)
        if inner is not None and not _is_default(inner):
            body[name] = functools.wraps(inner)(recorded(agent, EntryPoint(name), inner))
    return _marked_class(original, agent, body)


def _plain_body(original: type) -> dict[str, Any]:
    """Return the attributes that make a subclass look like its original."""
    return {
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
        "__reduce__": _reduce,
    }


def _marked_class(original: type, agent: Agent, body: dict[str, Any]) -> type:
    made = type(original.__name__, (original,), body)
    setattr(made, _MARK, (original, agent))
    return made


def _is_graph(kind: type) -> bool:
    """Return whether its `stream_events` ends in its `stream` in every version."""
    module = sys.modules.get("langgraph.pregel")
    return module is not None and issubclass(kind, module.Pregel)


def _runs_as_any_graph(kind: type) -> bool:
    """Return whether LangGraph's own methods invoke and stream it, which start its run first."""
    if not _is_graph(kind):
        return False
    pregel = sys.modules["langgraph.pregel"].Pregel
    names = (*_STARTING, *_ENDING_IN_STREAM)
    return all(getattr(kind, name) is getattr(pregel, name) for name in names)


def _is_default(method: Any) -> bool:
    """Return whether a method is the default one, which calls `invoke` or `stream` for each input."""
    return method.__qualname__.startswith("Runnable.")


def _copy_shallow(runnable: Any) -> Any:
    """Make a shallow copy of the same class; `copy.copy` would use `__reduce__`, made below."""
    if hasattr(type(runnable), "__copy__"):
        return copy.copy(runnable)
    twin = object.__new__(type(runnable))
    twin.__dict__.update(runnable.__dict__)
    return twin


def _reduce(self: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    original, agent = getattr(type(self), _MARK)
    plain = _copy_shallow(self)
    object.__setattr__(plain, "__class__", original)
    return _wrap_again, (plain, agent.name, agent.tags)


def _wrap_again(graph: Any, agent: str, tags: tuple[str, ...]) -> Any:
    return wrap(graph, agent=agent, tags=tags)


def _wrap_sync(agent: Agent, entry: EntryPoint, inner: Callable[..., Any]) -> Callable[..., Any]:
    def run(self: Any, input: Any, config: Any = None, *args: Any, **kwargs: Any) -> Any:
        call = enter(agent, entry, self, input, config)
        if call is None:
            return inner(self, input, config, *args, **kwargs)
        try:
            output = inner(self, input, call.config, *args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        call.done(output)
        return output

    return run


async def _enter_async(
    agent: Agent, entry: EntryPoint, graph: Any, input: Any, config: Any
) -> Invocation | None:
    found = await resume.trajectory_of_checkpoint_async(graph, input, config)
    if found is None:
        return enter(agent, entry, graph, input, config)
    return enter_resumed(agent, entry, graph, input, config, found)


def _wrap_async(agent: Agent, entry: EntryPoint, inner: Callable[..., Any]) -> Callable[..., Any]:
    async def run(self: Any, input: Any, config: Any = None, *args: Any, **kwargs: Any) -> Any:
        call = await _enter_async(agent, entry, self, input, config)
        if call is None:
            return await inner(self, input, config, *args, **kwargs)
        try:
            output = await inner(self, input, call.config, *args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        call.done(output)
        return output

    return run


def _wrap_iterator(
    agent: Agent, entry: EntryPoint, inner: Callable[..., Any]
) -> Callable[..., Any]:
    def recorded(
        self: Any, input: Any, config: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[Any]:
        call = enter(agent, entry, self, input, config)
        if call is None:
            return (yield from inner(self, input, config, *args, **kwargs))
        try:
            result = yield from inner(self, input, call.config, *args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        call.done()
        return result

    def run(self: Any, input: Any, config: Any = None, *args: Any, **kwargs: Any) -> Iterator[Any]:
        if is_entered(self, config):
            return inner(self, input, config, *args, **kwargs)
        return recorded(self, input, config, args, kwargs)

    return run


def _wrap_async_iterator(
    agent: Agent, entry: EntryPoint, inner: Callable[..., Any]
) -> Callable[..., Any]:
    async def recorded(
        self: Any, input: Any, config: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncIterator[Any]:
        call = await _enter_async(agent, entry, self, input, config)
        chunks = None
        try:
            chunks = inner(self, input, config if call is None else call.config, *args, **kwargs)
            async for chunk in chunks:
                yield chunk
        except BaseException as error:
            await _close_chunks(chunks)
            if call is not None:
                call.failed(error)
            raise
        if call is not None:
            call.done()

    def run(
        self: Any, input: Any, config: Any = None, *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        if is_entered(self, config):
            return inner(self, input, config, *args, **kwargs)
        return recorded(self, input, config, args, kwargs)

    return run


def _wrap_reader(agent: Agent, entry: EntryPoint, inner: Callable[..., Any]) -> Callable[..., Any]:
    def run(self: Any, input: Any, config: Any = None, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("version") != "v3":  # the others end in another entry point
            return inner(self, input, config, *args, **kwargs)
        call = enter(agent, entry, self, input, config)
        if call is None:
            return inner(self, input, config, *args, **kwargs)
        if call.trajectory is None:
            call.done()  # its run is part of another invocation, which ends it
        try:
            events = inner(self, input, call.config, *args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        return end_with_stream(events, call)

    return run


async def _close_chunks(chunks: Any) -> None:
    """Close the original's generator when ours is closed, so that it cleans up at once."""
    aclose = getattr(chunks, "aclose", None)
    if aclose is not None:
        await aclose()


def _wrap_batch(agent: Agent, entry: EntryPoint, inner: Callable[..., Any]) -> Callable[..., Any]:
    def run(self: Any, inputs: list[Any], config: Any = None, **kwargs: Any) -> Any:
        calls, configs = _invocation_for_each(agent, entry, self, inputs, config)
        try:
            outputs = inner(self, inputs, configs, **kwargs)
        except BaseException as error:
            _all_failed(calls, error)
            raise
        _all_done(calls, outputs)
        return outputs

    return run


def _wrap_async_batch(
    agent: Agent, entry: EntryPoint, inner: Callable[..., Any]
) -> Callable[..., Any]:
    async def run(self: Any, inputs: list[Any], config: Any = None, **kwargs: Any) -> Any:
        calls, configs = _invocation_for_each(agent, entry, self, inputs, config)
        try:
            outputs = await inner(self, inputs, configs, **kwargs)
        except BaseException as error:
            _all_failed(calls, error)
            raise
        _all_done(calls, outputs)
        return outputs

    return run


def _invocation_for_each(
    agent: Agent, entry: EntryPoint, runnable: Any, inputs: list[Any], config: Any
) -> tuple[list[Invocation | None], Any]:
    """Record one invocation for each input of a batch that the runnable runs itself."""
    from langchain_core.runnables.config import get_config_list

    if not inputs:
        return [], config
    configs = get_config_list(config, len(inputs))
    calls = [
        enter(agent, entry, runnable, input, given)
        for input, given in zip(inputs, configs, strict=True)
    ]
    return calls, [
        given if call is None else call.config for call, given in zip(calls, configs, strict=True)
    ]


def _all_failed(calls: list[Invocation | None], error: BaseException) -> None:
    for call in calls:
        if call is not None:
            call.failed(error)


def _all_done(calls: list[Invocation | None], outputs: Any) -> None:
    for call, output in zip(calls, outputs, strict=False):
        if call is None:
            continue
        if isinstance(output, BaseException):
            call.failed(output)
        else:
            call.done(output)


_STARTING = ("invoke", "ainvoke", "stream", "astream")
_ENDING_IN_STREAM = ("transform", "atransform")  # of a graph; its input is known there
_RECORDED: dict[str, Callable[..., Any]] = {
    "invoke": _wrap_sync,
    "ainvoke": _wrap_async,
    "stream": _wrap_iterator,
    "astream": _wrap_async_iterator,
    "transform": _wrap_iterator,
    "atransform": _wrap_async_iterator,
}
# A chat model runs while its events are read, and ends the trajectory with its call.
_RECORDED_READINGS: dict[str, Callable[..., Any]] = {
    "stream_events": _wrap_reader,
    "astream_events": _wrap_reader,
}
_RECORDED_LISTS: dict[str, Callable[..., Any]] = {"batch": _wrap_batch, "abatch": _wrap_async_batch}
