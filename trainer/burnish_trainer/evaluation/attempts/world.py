"""Open and close the environment of an attempt, beside the event loop of the others.

How it works: opening and closing may block (a copy of a database, a container), so they run in a thread unless they are
coroutine functions. Context variables that `open` sets there are carried into the attempt.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import inspect
from collections.abc import Callable
from typing import Any

from burnish.journal.events import canonical
from burnish.records import Json


class EnvironmentFault(Exception):
    """The environment did not open, or starts in another state than before; this says nothing about the adapter."""


class AttemptWorld:
    """The environment of one attempt.

    Args:
        make: Makes the environment; None makes none.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self.environment: Any = None
        self.start_sha256: str | None = None

    async def open(self, task: dict[str, Json]) -> None:
        """Make and open the environment.

        Raises:
            EnvironmentFault: It cannot be made or opened.
        """
        try:
            self.environment = await call_beside_loop(self._make)
            if self.environment is None:
                return
            await _call(self.environment.open, task)
        except Exception as problem:
            raise EnvironmentFault(
                f"the environment did not open: {type(problem).__name__}: {str(problem)[:200]}"
            ) from problem
        self.start_sha256 = await call_beside_loop(_hash_state, self.environment)

    async def close(self) -> str | None:
        """Close the environment, if there is one; return what went wrong."""
        if self.environment is None:
            return None
        try:
            await _call(self.environment.close)
        except Exception as problem:  # noqa: BLE001 - any exception of an environment says nothing about the adapter
            return f"the environment did not close: {type(problem).__name__}: {str(problem)[:200]}"
        return None


async def _call(method: Callable[..., Any], *args: Any) -> None:
    if inspect.iscoroutinefunction(method):
        await method(*args)
    else:
        await call_beside_loop(method, *args)


async def call_beside_loop(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a thread; context variables that it sets are set for the caller too."""
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(None, lambda: context.run(function, *args))
    finally:
        _take_over(context)


def _take_over(context: contextvars.Context) -> None:
    """Set the variables of the running context that differ in another one."""
    here = contextvars.copy_context()
    for variable, value in context.items():
        if variable not in here or here[variable] is not value:
            variable.set(value)


def _hash_state(environment: Any) -> str | None:
    """Hash the state of an environment; None if it has no state that can be compared."""
    try:
        return hashlib.sha256(canonical(environment.state())).hexdigest()[:16]
    except Exception:  # noqa: BLE001 - a state before the first act is not promised by every environment
        return None
