"""End invocations whose event stream (version 3) makes no callbacks: graphs on a server.

`end_with_stream` gives the stream of `RemoteGraph` a subclass that ends the invocation when the
stream is left or aborted, or is collected without being entered.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Awaitable
from typing import Any, Protocol

from burnish.compat.langgraph import REMOTE_STREAM

_CALL = "_burnish_invocation"


class OpenInvocation(Protocol):
    """An invocation that ends with a stream."""

    def failed(self, error: BaseException) -> None:
        """End the invocation after the stream raised or was aborted."""
        ...

    def done(self, output: Any = None) -> None:
        """End the invocation after the stream was left."""
        ...


def end_with_stream(events: Any, call: OpenInvocation) -> Any:
    """Return an entry point's result such that the invocation ends with a remote graph's stream."""
    if inspect.isawaitable(events):
        return _await_stream(events, call)
    _watch_stream(events, call)
    return events


async def _await_stream(events: Awaitable[Any], call: OpenInvocation) -> Any:
    try:
        stream = await events
    except BaseException as error:
        call.failed(error)
        raise
    _watch_stream(stream, call)
    return stream


def _watch_stream(stream: Any, call: OpenInvocation) -> None:
    kind = type(stream)
    if not callable(getattr(kind, "abort", None)) or kind.__module__ != REMOTE_STREAM.module:
        return
    setattr(stream, _CALL, call)
    stream.__class__ = _watched_class(kind)
    weakref.finalize(stream, call.failed, GeneratorExit()).atexit = False


@functools.cache
def _watched_class(kind: type) -> type:
    """Return a subclass of a stream that reports its end."""
    body: dict[str, Any] = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    for name, watched in _WATCHED.items():
        if hasattr(kind, name):
            inner = getattr(kind, name)
            body[name] = functools.wraps(inner)(watched(inner))
    return type(kind.__name__, (kind,), body)


def _end_run(stream: Any, error: BaseException | None) -> None:
    call: OpenInvocation = getattr(stream, _CALL)
    if error is None:
        call.done()
    else:
        call.failed(error)


def _wrap_leaving(inner: Any) -> Any:
    def leave(self: Any, kind: Any, error: BaseException | None, trace: Any) -> Any:
        try:
            return inner(self, kind, error, trace)
        finally:
            _end_run(self, error)

    return leave


def _leaving_async(inner: Any) -> Any:
    async def leave(self: Any, kind: Any, error: BaseException | None, trace: Any) -> Any:
        try:
            return await inner(self, kind, error, trace)
        finally:
            _end_run(self, error)

    return leave


def _wrap_entering(inner: Any) -> Any:
    def enter(self: Any) -> Any:
        try:
            return inner(self)
        except BaseException as error:
            _end_run(self, error)
            raise

    return enter


def _entering_async(inner: Any) -> Any:
    async def enter(self: Any) -> Any:
        try:
            return await inner(self)
        except BaseException as error:
            _end_run(self, error)
            raise

    return enter


def _wrap_aborting(inner: Any) -> Any:
    if not inspect.iscoroutinefunction(inner):

        def abort(self: Any) -> Any:
            try:
                return inner(self)
            finally:
                _end_run(self, GeneratorExit())

        return abort

    async def abort_async(self: Any) -> Any:
        try:
            return await inner(self)
        finally:
            _end_run(self, GeneratorExit())

    return abort_async


_WATCHED = {
    "__enter__": _wrap_entering,
    "__aenter__": _entering_async,
    "__exit__": _wrap_leaving,
    "__aexit__": _leaving_async,
    "abort": _wrap_aborting,
}
