"""The one event loop of an evaluation.

Both versions are asked over the same connections, and whatever an agent keeps between calls stays in the loop that it
was made in. Called from inside a running loop, the evaluation gets a thread of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

_T = TypeVar("_T")


class EvaluationLoop:
    """Runs the coroutines of an evaluation one after the other in one event loop.

    Args:
        workers: Threads for synchronous nodes of agents, so that attempts do not wait for one another.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._thread: ThreadPoolExecutor | None = None
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="burnish-evaluation")
        executor = ThreadPoolExecutor(self._workers, thread_name_prefix="burnish-attempt")
        self._call(lambda: self._runner.get_loop().set_default_executor(executor))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call(self._runner.close)
        if self._thread is not None:
            self._thread.shutdown()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine to its end; blocks the caller."""
        return self._call(lambda: self._runner.run(work))

    def _call(self, work: Callable[[], _T]) -> _T:
        return work() if self._thread is None else self._thread.submit(work).result()
