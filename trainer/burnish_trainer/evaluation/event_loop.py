"""Run an evaluation in one event loop.

How it works: both versions use the same connections, and what an agent keeps between calls stays in
the loop that created it. An evaluation that is called from inside a running loop gets its own
thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from burnish.imports.import_path import keep_modules
from burnish_trainer.evaluation.attempts.client_logs import bound_client_logs, mark_requests
from burnish_trainer.evaluation.attempts.loop_watch import LoopWatch
from burnish_trainer.evaluation.attempts.shared import EvaluationState
from burnish_trainer.evaluation.attempts.worker_threads import AttemptThreads

_T = TypeVar("_T")


class EvaluationLoop:
    """Runs the coroutines of an evaluation one after the other in one event loop.

    Args:
        state: What all attempts of the evaluation share.

    Attributes:
        state: The same.
    """

    def __init__(self, state: EvaluationState | None = None) -> None:
        self.state = state or EvaluationState()
        self._thread: ThreadPoolExecutor | None = None
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="burnish-evaluation")
        executor = AttemptThreads()
        self._call_in_thread(lambda: self._runner.get_loop().set_default_executor(executor))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call_in_thread(self._runner.close)
        if self._thread is not None:
            self._thread.shutdown()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine to its end; this blocks the caller."""
        return self._call_in_thread(lambda: self._run_watched(work))

    def _run_watched(self, work: Coroutine[Any, Any, _T]) -> _T:
        with LoopWatch(self._runner.get_loop()), bound_client_logs(), keep_modules():
            return self._runner.run(mark_requests(work))

    def _call_in_thread(self, work: Callable[[], _T]) -> _T:
        return work() if self._thread is None else self._thread.submit(work).result()
