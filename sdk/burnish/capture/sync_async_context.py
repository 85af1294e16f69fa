"""Context managers for `with` and `async with` alike. Knows: the two protocols. Does not know: what is recorded."""

from __future__ import annotations

from contextvars import Context, ContextVar, Token
from types import TracebackType
from typing import Generic, TypeVar

_T = TypeVar("_T")
_V = TypeVar("_V")


def leave_variable(variable: ContextVar[_V], token: Token[_V], mine: _V) -> None:
    """Put back what a context variable held before it was set to `mine`; never raises.

    A token can be used only in the context that it comes from, and only once. A scope that is left
    elsewhere (by a generator that another task closes, in a fixture, in a callback) puts the former
    value back by itself; where the variable was set anew meanwhile, that stays.
    """
    try:
        variable.reset(token)
    except (ValueError, RuntimeError):
        if variable.get(None) is mine:
            before = token.old_value
            outside = Context().run(variable.get) if before is Token.MISSING else before
            variable.set(outside)


class Entered(Generic[_T]):
    """Something that is entered and left, in coroutines as elsewhere; neither way ever waits."""

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
