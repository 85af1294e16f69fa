"""Run synchronous nodes of agents in threads that an agent which never ends cannot block."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class AttemptThreads(ThreadPoolExecutor):
    """Runs each call in a daemon thread of its own; attempts limit how many run at once.

    A thread of an attempt that ran out of time cannot be ended. It keeps no place that another attempt needs, and
    neither the evaluation nor the exit of the process waits for it.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start a call in a new thread."""
        future: Future[Any] = Future()

        def run_call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run_call, name="burnish-attempt", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Return at once; threads that still run belong to agents that never end."""
