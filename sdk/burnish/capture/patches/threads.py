"""Assign work that an agent gives to raw threads to the agent's run.

A `ThreadPoolExecutor` (and so `run_in_executor`) receives the caller's context variables. A raw
`threading.Thread` keeps its own empty context, as without burnish; it only remembers the trajectory
in which it was started, so that its reports on that run have the origin "inside".
"""

from __future__ import annotations

import functools
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any

from burnish.capture.faults import guarded
from burnish.capture.recorder import context
from burnish.capture.recorder.runs import registry

_installed = False


def carry_context() -> None:
    """Pass the caller's context to pools while a captured run is active."""
    global _installed
    if _installed:
        return
    _installed = True
    original = ThreadPoolExecutor.submit

    @functools.wraps(original)
    def submit(self: ThreadPoolExecutor, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if registry.active and _is_inside_run(fn):
            return original(self, copy_context().run, fn, *args, **kwargs)
        return original(self, fn, *args, **kwargs)

    ThreadPoolExecutor.submit = submit
    start_plain = threading.Thread.start

    @functools.wraps(start_plain)
    def start(self: threading.Thread) -> None:
        if registry.active:
            _remember_origin(self)
        start_plain(self)

    threading.Thread.start = start


@guarded
def _remember_origin(thread: threading.Thread) -> None:
    here = context.trajectories_here()
    if here:
        setattr(thread, context.STARTED_IN, here)


def _is_inside_run(fn: Any) -> bool:
    """Return whether a captured run submits this, and it does not carry a context already."""
    carried = getattr(fn, "func", fn)
    if type(getattr(carried, "__self__", None)) is Context:
        return False
    return context.current_run() is not None
