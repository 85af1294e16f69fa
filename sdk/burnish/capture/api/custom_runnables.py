"""Record runnables with a custom `invoke`, which start no LangChain run for themselves.

`is_handwritten` recognises them; `record_entry` records the calls of an entry point. `tracing`
defines the scopes, `wrapping` makes the recording class.

LangChain's own runnables start a run under the id in their config. A custom one may pass its config
on, or not: every call inside would then use an id of burnish in it. So the config is not changed,
and calls inside belong to a scope, as under `trace`.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from burnish.capture.api.recorded_functions import ScopeMaker, record_calls
from burnish.capture.recorder import context

_STARTING_RUNS = (
    "burnish", "langchain", "langchain_classic", "langchain_community", "langchain_core", "langgraph",
)  # fmt: skip
_STREAMS = ("stream", "transform")
_INNER = ("bound", "default")  # where bindings and configurable runnables keep the inner runnable
_INNER_BY_NAME = ("alternatives", "runnables")  # where they keep alternatives
_DEPTH = 20


def is_handwritten(runnable: Any, depth: int = _DEPTH) -> bool:
    """Return whether a runnable, or one that receives its config, has a custom `invoke`."""
    pregel = sys.modules.get("langgraph.pregel")
    if depth == 0 or (pregel is not None and isinstance(runnable, pregel.Pregel)):
        return False
    module = getattr(type(runnable).invoke, "__module__", None) or ""
    if module.split(".")[0] not in _STARTING_RUNS:
        return True
    return any(is_handwritten(inner, depth - 1) for inner in _inner_of(runnable))


def _inner_of(runnable: Any) -> list[Any]:
    """Return the runnables that bindings, configurable ones and routers call with their config."""
    found = [getattr(runnable, name, None) for name in _INNER]
    for name in _INNER_BY_NAME:
        choices = getattr(runnable, name, None)
        found += choices.values() if isinstance(choices, Mapping) else ()
    return [inner for inner in found if callable(getattr(type(inner), "invoke", None))]


def record_entry(maker: ScopeMaker, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    """Return an entry point whose calls are recorded, each in a scope that `maker` opens."""
    recorded = record_calls(maker, _as_declared(name, inner))

    @functools.wraps(inner)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_inside(self):
            return inner(self, *args, **kwargs)
        return recorded(self, *args, **kwargs)

    return run


def _is_inside(runnable: Any) -> bool:
    """Return whether an entry point of the same runnable calls another one."""
    run = context.scope.get()
    return run is not None and not run.trajectory.ended and run.runnable is runnable


def _as_declared(name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    """Return the entry point as a generator or coroutine function, as its name requires."""
    if name in _STREAMS and not inspect.isgeneratorfunction(inner):

        def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
            return (yield from inner(*args, **kwargs))

        return stream
    if name.removeprefix("a") in _STREAMS and name not in _STREAMS:
        if inspect.isasyncgenfunction(inner):
            return inner

        async def astream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            async for chunk in inner(*args, **kwargs):
                yield chunk

        return astream
    if name in ("ainvoke", "abatch") and not inspect.iscoroutinefunction(inner):

        async def ainvoke(*args: Any, **kwargs: Any) -> Any:
            return await inner(*args, **kwargs)

        return ainvoke
    return inner
