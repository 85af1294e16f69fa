"""Work that an agent gives to a raw thread pool keeps its context.

Knows: how to carry context variables into `ThreadPoolExecutor` (and so `run_in_executor`).
Does not know: trajectories; it only looks whether one is active.
"""

from __future__ import annotations

import functools
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from burnish.capture.recorder import context
from burnish.capture.recorder.runs import registry

_installed = False


def carry_context() -> None:
    """Let pools carry the caller's context while a captured run is active."""
    global _installed
    if _installed:
        return
    _installed = True
    original = ThreadPoolExecutor.submit

    @functools.wraps(original)
    def submit(self: ThreadPoolExecutor, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if registry.active and _inside(fn):
            return original(self, copy_context().run, fn, *args, **kwargs)
        return original(self, fn, *args, **kwargs)

    ThreadPoolExecutor.submit = submit


def _inside(fn: Any) -> bool:
    """Whether a captured run submits this, and it does not carry a context already."""
    carried = getattr(fn, "func", fn)
    if type(getattr(carried, "__self__", None)).__name__ == "Context":
        return False
    return context.current_run() is not None
