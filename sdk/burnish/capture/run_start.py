"""Start a trajectory for an invocation, a trace or an unwrapped run, or take one up again.

`begin` is the entry: it puts the patches in place and records RunStarted. langchain/invocation.py decides
whether an invocation starts a trajectory or is part of another one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from burnish import settings
from burnish.capture import fault_reports
from burnish.capture.content.redaction_door import door
from burnish.capture.patches import sent_messages, streaming_check, threads
from burnish.capture.recorder import context, shipping
from burnish.capture.recorder.calls import start_run
from burnish.capture.recorder.requests import RunRequest
from burnish.capture.recorder.runs import LiveTrajectory, registry
from burnish.capture.recorder.values import text_of_value


class Agent(NamedTuple):
    """The agent as `wrap` and `trace` name it."""

    name: str
    tags: tuple[str, ...] = ()


class Start(NamedTuple):
    """The facts of an invocation before it runs."""

    agent: Agent
    entry: str
    input: Any
    thread_id: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = {}
    resumes: str | None = None  # trajectory to resume
    operation: str = "invoke_agent"


def recording() -> bool:
    """Return whether this context may record."""
    return not context.suppressed.get() and settings.current().capture != "off"


def begin(start: Start, key: Any) -> LiveTrajectory:
    """Start or resume a trajectory and record RunStarted; without a key until its run starts."""
    threads.carry_context()
    sent_messages.install()
    streaming_check.install()
    shipping.start()
    fault_reports.tell()
    given = context.current_task.get()
    trajectory = LiveTrajectory(start.agent.name, start.resumes, door())
    trajectory.thread_id = start.thread_id
    registry.begin(trajectory, key)
    if given is not None:
        given.add(trajectory)
    try:
        _announce_run(trajectory, start, given)
    except Exception:
        registry.end(trajectory, "completed")
        raise
    return trajectory


def _announce_run(trajectory: LiveTrajectory, start: Start, given: Any) -> None:
    trace, parent = _active_span()
    trajectory.trace = trace
    named: dict[str, Any] = {} if given is None else given.named()
    user = start.metadata.get("user_id")
    if user is not None and named.get("user") is None:
        named["user"] = user if isinstance(user, str) else text_of_value(user)
    request = RunRequest(
        entry=start.entry,
        input=start.input,
        trace=trace,
        parent=parent,
        resumed=start.resumes is not None,
        operation=start.operation,
        metadata=start.metadata,
        tags=(*start.agent.tags, *start.tags),
        task=named,
    )
    start_run(trajectory, request)


def _active_span() -> tuple[str | None, str | None]:
    """Return trace and span of the active OpenTelemetry span."""
    module = sys.modules.get("opentelemetry.trace")
    if module is None:
        return None, None
    found = module.get_current_span().get_span_context()
    if not found.is_valid:
        return None, None
    return f"{found.trace_id:032x}", f"{found.span_id:016x}"
