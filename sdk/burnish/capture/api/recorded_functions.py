"""Record functions, generators and coroutines: each call gets its own scope.

`record_calls` is the entry. It opens a scope when a call begins, enters it around each step and closes it at the end;
tracing.py records the scope.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import Token
from typing import Any, Protocol, TypeVar

from burnish.capture.recorder import context
from burnish.capture.recorder.runs import Run
from burnish.capture.sync_async_context import Entered, leave_variable

_F = TypeVar("_F", bound=Callable[..., Any])
ScopeEntry = tuple[Token[Run | None], Run]
"""The context variable's token and the run that it was set to."""


def leave_context(entry: ScopeEntry | None) -> None:
    """Make runs that start now belong to no scope entered here."""
    if entry is not None:
        leave_variable(context.scope, *entry)


class CallScope(Protocol):
    """Records one call."""

    def enter_context(self) -> ScopeEntry | None:
        """Make runs that start now belong to this scope."""
        ...

    def close(self, output: Any = None, error: BaseException | None = None) -> None:
        """End the call."""
        ...


class ScopeMaker(Protocol):
    """Opens the scope of one call of a function."""

    def scope_of(self, function: Any, args: Any, kwargs: Any) -> CallScope:
        """Open a scope for a call with these arguments."""
        ...


def record_calls(maker: ScopeMaker, function: _F) -> _F:
    """Return the function with each call in its own scope."""
    if inspect.isasyncgenfunction(function):
        made = _wrap_async_generator(maker, function)
    elif inspect.iscoroutinefunction(function):
        made = _wrap_coroutine(maker, function)
    elif inspect.isgeneratorfunction(function):
        made = _wrap_generator(maker, function)
    else:
        made = _wrap_function(maker, function)
    return functools.wraps(function)(made)  # pyright: ignore[reportReturnType]


class _Call(Entered["_Call"]):
    """A scope around one whole call; the result of the call is its answer."""

    def __init__(self, scope: CallScope) -> None:
        self.output: Any = None
        self._scope, self._token = scope, scope.enter_context()

    def _enter(self) -> _Call:
        return self

    def _leave(self, error: BaseException | None) -> None:
        leave_context(self._token)
        self._scope.close(self.output, error)


def _wrap_function(maker: ScopeMaker, function: Any) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with _Call(maker.scope_of(function, args, kwargs)) as said:
            said.output = function(*args, **kwargs)
        return said.output

    return call


def _wrap_coroutine(maker: ScopeMaker, function: Any) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with _Call(maker.scope_of(function, args, kwargs)) as said:
            said.output = await function(*args, **kwargs)
        return said.output

    return call


def _wrap_generator(maker: ScopeMaker, function: Any) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        scope = maker.scope_of(function, args, kwargs)
        inner = function(*args, **kwargs)
        step, given = inner.send, None
        try:
            while True:
                token = scope.enter_context()
                try:
                    item = step(given)
                finally:
                    leave_context(token)
                try:
                    given, step = (yield item), inner.send
                except GeneratorExit:
                    inner.close()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - it is thrown into the original
                    given, step = thrown, inner.throw
        except StopIteration as end:
            scope.close(end.value)
            return end.value
        except BaseException as error:
            scope.close(error=error)
            raise

    return call


def _wrap_async_generator(maker: ScopeMaker, function: Any) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        scope = maker.scope_of(function, args, kwargs)
        inner = function(*args, **kwargs)
        step, given = inner.asend, None
        try:
            while True:
                token = scope.enter_context()
                try:
                    item = await step(given)
                finally:
                    leave_context(token)
                try:
                    given, step = (yield item), inner.asend
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - it is thrown into the original
                    given, step = thrown, inner.athrow
        except StopAsyncIteration:
            scope.close()
        except BaseException as error:
            scope.close(error=error)
            raise

    return call
