"""Find the run, the task and the recording state of the calling code.

The module holds the context variables of capture and reads LangChain's own.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Generator
from contextvars import ContextVar
from typing import Any

from burnish.capture.recorder.runs import LiveTrajectory, Run, registry
from burnish.capture.recorder.values import text_of_value
from burnish.capture.sync_async_context import leave_variable

STARTED_IN = "_burnish_started_in"
"""Attribute of a raw thread: the trajectories in which it was started (capture/patches/threads.py).
"""
scope: ContextVar[Run | None] = ContextVar("burnish_scope", default=None)
"""The open `trace` of this context."""
current_task: ContextVar[Any] = ContextVar("burnish_task", default=None)
"""The `task` of runs that start in this context; None outside of every task."""
suppressed: ContextVar[bool] = ContextVar("burnish_suppressed", default=False)
"""Whether recording is off in this context."""


def ambient_config() -> dict[str, Any] | None:
    """Return the config of the LangChain run that calls this code."""
    module = sys.modules.get("langchain_core.runnables.config")
    return None if module is None else module.var_child_runnable_config.get()


def run_of_config(config: Any) -> Run | None:
    """Return the captured run that callbacks of this config belong to."""
    manager = config.get("callbacks") if config else None
    parent = getattr(manager, "parent_run_id", None)
    return None if parent is None else registry.runs.get(parent.int)


def innermost(outer: Run | None, inner: Run | None) -> Run | None:
    """Return the deeper of two runs of this context, if one contains the other; else the first."""
    if inner is None or inner.trajectory.ended:
        return outer
    if outer is None:
        return inner
    return inner if inner is outer or inner.is_below(outer) else outer


def current_run() -> Run | None:
    """Return the captured run that calls this code, or None."""
    # As run_of_config(ambient_config()), without the calls: this runs for each piece of work that
    # a graph gives to a thread.
    module = sys.modules.get("langchain_core.runnables.config")
    config = None if module is None else module.var_child_runnable_config.get()
    manager = config.get("callbacks") if config else None
    parent = getattr(manager, "parent_run_id", None)
    outer = None if parent is None else registry.runs.get(parent.int)
    inner = scope.get()
    return outer if inner is None else innermost(outer, inner)


def trajectories_here() -> list[LiveTrajectory]:
    """Return the running trajectories of this code, by its context or by the starter of its thread."""
    run = current_run()
    started_in = getattr(threading.current_thread(), STARTED_IN, None)
    if started_in is None:
        return [] if run is None or run.trajectory.ended else [run.trajectory]
    found = [] if run is None else [run.trajectory]
    return [trajectory for trajectory in (*found, *started_in) if not trajectory.ended]


def current_trajectory_id() -> str | None:
    """Return the id of the trajectory of this code."""
    run = current_run()
    return None if run is None else run.trajectory.id


def current_thread_id() -> str | None:
    """Return the conversation of this code, as the agent's config names it."""
    run = current_run()
    if run is not None and run.trajectory.thread_id is not None:
        return run.trajectory.thread_id
    configurable = (ambient_config() or {}).get("configurable") or {}
    thread = configurable.get("thread_id")
    return None if thread is None else text_of_value(thread)


@contextlib.contextmanager
def suppress() -> Generator[None]:
    """Record nothing inside: for verifiers, judges and other code that is not the agent."""
    token = suppressed.set(True)
    try:
        yield
    finally:
        leave_variable(suppressed, token, True)
