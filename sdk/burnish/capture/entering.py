"""Context managers for `with` and `async with` alike. Knows: the two protocols. Does not know: what is recorded."""

from __future__ import annotations

from types import TracebackType
from typing import Generic, TypeVar

_T = TypeVar("_T")


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
