"""Provide context managers for both `with` and `async with`."""

from __future__ import annotations

from contextvars import Context, ContextVar, Token
from types import TracebackType
from typing import Generic, TypeVar

_T = TypeVar("_T")
_V = TypeVar("_V")


def leave_variable(variable: ContextVar[_V], token: Token[_V], mine: _V) -> None:
    """Restore a context variable to its value before it was set to `mine`; never raises.

    A token can be used only in the context that it comes from, and only once. A scope that is left
    elsewhere (by a generator that another task closes, in a fixture, in a callback) restores the
    former value itself; if the variable was set again meanwhile, that value stays.
    """
    try:
        variable.reset(token)
    except (ValueError, RuntimeError):
        if variable.get(None) is mine:
            before = token.old_value
            outside = Context().run(variable.get) if before is Token.MISSING else before
            variable.set(outside)


class Entered(Generic[_T]):
    """A scope that can be entered and left with and without `async`; neither way waits."""

    def _enter(self) -> _T:
        raise NotImplementedError

    def _leave(self, error: BaseException | None) -> None:
        raise NotImplementedError

    def __enter__(self) -> _T:
        return self._enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave(error)

    async def __aenter__(self) -> _T:
        return self._enter()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave(error)
