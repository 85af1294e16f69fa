"""What the user tells capture: which task is attempted, what became of it, what to leave out.

Knows: `task`, `outcome`, `flush`, `record_state`. Does not know: how runs are followed.
"""

from __future__ import annotations

import time
from contextvars import ContextVar, Token
from typing import Any, Literal

from burnish.capture import shipping, sink, telling
from burnish.capture.content import Blobs, Content
from burnish.capture.context import (
    current_run,
    current_thread_id,
    current_trajectory_id,
    suppress,
)
from burnish.capture.entering import Entered
from burnish.capture.live import LiveTrajectory
from burnish.capture.redaction import door
from burnish.errors import CaptureError
from burnish.journal.events import OutcomeReported, Ref

_SOURCES = ("production", "rollout", "evaluation", "demonstration", "teacher")

current_task: ContextVar[task | None] = ContextVar("burnish_task", default=None)
"""What runs that start here attempt."""


class task(Entered["task"]):  # noqa: N801 - used as `with burnish.task(...)`, like open()
    """Names what the runs inside it attempt, and for whom.

    Usable with `with` and `async with`; `trajectory_ids` then names the runs that were recorded.

    Args:
        id: The task; attempts at the same task share it.
        user: For whom.
        attempt: Which attempt at the task, from 1.
        source: production, rollout, evaluation, demonstration or teacher.
        environment: The world that is acted on: its name, or an object whose `state()` is
            recorded at the end of each run inside.
        explore: Whether unusual actions are wanted here; production never explores.

    Raises:
        CaptureError: If a value is out of range.
    """

    def __init__(
        self,
        *,
        id: str | None = None,
        user: str | None = None,
        attempt: int = 1,
        source: str = "production",
        environment: Any = None,
        explore: bool = False,
    ) -> None:
        if attempt < 1:
            raise CaptureError(
                f"attempt is {attempt}", "a number from 1", "burnish.task(attempt=1)"
            )
        if source not in _SOURCES:
            raise CaptureError(f"source is {source!r}", f"one of {', '.join(_SOURCES)}")
        if explore and source == "production":
            raise CaptureError(
                "explore=True with source 'production'",
                "another source: production never explores",
                'burnish.task(source="rollout", explore=True)',
            )
        self.id, self.user, self.attempt, self.source = id, user, attempt, source
        self.environment, self.explore = environment, explore
        self.trajectory_ids: list[str] = []
        self._tokens: list[Token[task | None]] = []

    def named(self) -> dict[str, Any]:
        """What RunStarted says about the task."""
        world = self.environment
        name = world if world is None or isinstance(world, str) else type(world).__name__
        found: dict[str, Any] = {
            "task_id": self.id,
            "attempt": self.attempt,
            "source": self.source,
            "environment": name,
            "mode": "explore" if self.explore else "exploit",
        }
        return found if self.user is None else {**found, "user": self.user}

    def add(self, trajectory: LiveTrajectory) -> None:
        """A trajectory started inside."""
        self.trajectory_ids.append(trajectory.id)
        trajectory.environment = self.environment

    def _enter(self) -> task:
        self._tokens.append(current_task.set(self))
        return self

    def _leave(self, error: BaseException | None) -> None:
        current_task.reset(self._tokens.pop())


def outcome(
    *,
    thread_id: str | None = None,
    trajectory_id: str | None = None,
    success: bool | None = None,
    score: float | None = None,
    label: str | None = None,
    source: str,
    evidence: Any = None,
    scope: Literal["last", "thread"] = "last",
) -> None:
    """Report a fact about what became of a run; it is appended and never rewrites.

    May come days later and from another process. The newest outcome of the same source counts.

    Args:
        thread_id: The conversation. For training it labels only the last trajectory that had
            ended by then; `scope="thread"` labels all.
        trajectory_id: Or the trajectory itself.
        success: Whether the goal was reached.
        score: How well, higher is better.
        label: A word for it.
        source: Who says so, such as "crm".
        evidence: Anything that shows it.
        scope: "last" or "thread".

    Raises:
        CaptureError: If it names no run, two kinds of run, or no fact.
        JournalError: If it could not be made durable.
    """
    if (thread_id is None) == (trajectory_id is None):
        raise CaptureError(
            f"outcome() got thread_id={thread_id!r} and trajectory_id={trajectory_id!r}",
            "exactly one of them",
            'burnish.outcome(thread_id="t-42", success=True, source="crm")',
        )
    if success is None and score is None and label is None:
        raise CaptureError(
            f"outcome() from {source!r} says nothing", "success, score or label", "success=True"
        )
    if scope not in ("last", "thread"):
        raise CaptureError(f"scope is {scope!r}", '"last" or "thread"')
    content = Content({}, door())
    blobs: Blobs = {}
    ref: Ref | None = None
    if evidence is not None:
        ref, blob = content.value(evidence)
        blobs[ref] = blob
    event = OutcomeReported(
        at=time.time_ns(),
        source=source,
        trajectory=trajectory_id,
        thread_id=None if thread_id is None else content.text(str(thread_id)),
        success=success,
        score=None if score is None else float(score),
        label=content.text(label),
        evidence=ref,
        scope=scope,
    )
    sink.journal().append(event, blobs)


def record_state(state: Any) -> None:
    """Record the state of the world that the current run acts on.

    Raises:
        CaptureError: If no recorded run is active here.
    """
    run = current_run()
    if run is None:
        raise CaptureError(
            "record_state() outside of a recorded run",
            "a call inside of one",
            "with burnish.task(environment=world): graph.invoke(...)",
        )
    run.trajectory.record_state(state)


def flush(timeout_s: float = 5.0) -> int:
    """Make everything captured so far durable and offer it to the exporters.

    Args:
        timeout_s: Longest time to wait, in seconds.

    Returns:
        Number of spans that are not shipped yet; 0 where nothing is to be shipped.
    """
    deadline = time.monotonic() + timeout_s
    telling.tell()
    sink.journal().flush(timeout_s)
    return shipping.flush(max(0.0, deadline - time.monotonic()))


__all__ = [
    "current_thread_id",
    "current_trajectory_id",
    "flush",
    "outcome",
    "record_state",
    "suppress",
    "task",
]
