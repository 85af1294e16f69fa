"""Let users name a task, report an outcome, record a state, and flush.

`task`, `outcome`, `record_state` and `flush` are the entries.
"""

from __future__ import annotations

import time
from contextvars import Token
from typing import Any, Literal

from burnish.capture import fault_reports
from burnish.capture.arguments import report_wrong, tolerate
from burnish.capture.content.redaction_door import door
from burnish.capture.content.shared_content import Content
from burnish.capture.notices import notice, notice_first_outcome
from burnish.capture.recorder import shipping, sink
from burnish.capture.recorder.context import (
    current_run,
    current_task,
    current_thread_id,
    current_trajectory_id,
    suppress,
)
from burnish.capture.recorder.facts import origin_of, outcome_event
from burnish.capture.recorder.runs import LiveTrajectory
from burnish.capture.recorder.values import read_flag, read_integer, read_text, shown
from burnish.capture.sync_async_context import Entered, leave_variable
from burnish.errors import CaptureError
from burnish.records import Outcome

_SOURCES = ("production", "rollout", "evaluation", "demonstration", "teacher")

_EXAMPLE = 'burnish.task(id="order-7", user="anna", attempt=1, source="rollout")'
_MOST_ATTEMPTS = 1_000_000_000


def _read_attempt(value: Any) -> int:
    return read_integer(value, "a number from 1", least=1, most=_MOST_ATTEMPTS)


class task(Entered["task"]):  # noqa: N801 - used as `with burnish.task(...)`, like open()
    """Sets task and user of the runs inside it.

    Usable with `with` and `async with`; `trajectory_ids` then names the runs that were recorded.

    Args:
        id: The task; attempts at the same task share it.
        user: The user that the runs serve.
        attempt: Number of the attempt at the task, from 1.
        source: production, rollout, evaluation, demonstration or teacher.
        environment: The world that the runs act on: an object whose `state()` is recorded at the
            end of each run inside. A text is only its name, and no state is recorded.
        explore: Whether unusual actions are wanted here; production never explores.

    A wrong value must not stop the agent: it is left out, counted as a fault (`burnish doctor`)
    and raised under pytest alone. An unknown source is kept, so that the run is not production.
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
        self.id = tolerate("task(id)", read_text, id, None, _EXAMPLE)
        self.user = tolerate("task(user)", read_text, user, None, _EXAMPLE)
        self.attempt = tolerate("task(attempt)", _read_attempt, attempt, 1, _EXAMPLE)
        self.source = tolerate("task(source)", read_text, source, "production", _EXAMPLE)
        if self.source not in _SOURCES:  # kept unchanged: it is not production
            report_wrong(
                "task(source)", repr(self.source), f"one of {', '.join(_SOURCES)}", _EXAMPLE
            )
        self.explore = tolerate("task(explore)", read_flag, explore, False, _EXAMPLE)
        if self.explore and self.source == "production":
            self.explore = False
            report_wrong(
                "task(explore)",
                "True with source 'production'",
                "another source: production never explores",
                'burnish.task(source="rollout", explore=True)',
            )
        self.environment = environment
        if isinstance(environment, str):
            notice(
                "task(environment) is a name",
                f"task(environment={environment[:80]!r}) names a world, and no final state of it is recorded; "
                "pass the object whose state() returns it",
            )
        self.trajectory_ids: list[str] = []
        self._tokens: list[Token[task | None]] = []

    def named(self) -> dict[str, Any]:
        """Return the fields of RunStarted about the task."""
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
        """Add a trajectory that started inside."""
        self.trajectory_ids.append(trajectory.id)
        trajectory.environment = self.environment

    def _enter(self) -> task:
        self._tokens.append(current_task.set(self))
        return self

    def _leave(self, error: BaseException | None) -> None:
        if self._tokens:
            leave_variable(current_task, self._tokens.pop(), self)


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
    """Report an outcome of a run; it is appended and never overwrites.

    May come days later and from another process. The newest outcome of the same source counts.
    Code inside the run that it judges may report too; such an outcome is kept, and never
    decides anything (its origin is "inside").

    Args:
        thread_id: The conversation. For training it labels only the last trajectory that had
            ended by then; `scope="thread"` labels all.
        trajectory_id: Or the trajectory itself.
        success: Whether the goal was reached; 1, 0 and numpy's truth values are accepted too.
        score: A score, higher is better.
        label: A word for the outcome.
        source: The reporting system, such as "crm".
        evidence: Any data that supports it.
        scope: "last" or "thread".

    Raises:
        CaptureError: If it names no run, two kinds of run, or no fact, or a value is of a wrong
            type. Nothing is written then.
        JournalError: If it could not be made durable.
    """
    if success is None and score is None and label is None:
        raise CaptureError(
            f"outcome() from {shown(source)} says nothing",
            "success, score or label",
            "success=True",
        )
    fact = Outcome(
        source=source, success=success, score=score, label=label, evidence=evidence, scope=scope
    )
    event, blobs = outcome_event(
        fact, Content({}, door()), trajectory_id=trajectory_id, thread_id=thread_id
    )
    notice_first_outcome()
    sink.journal().append(event, blobs)


def record_state(state: Any) -> None:
    """Record the state of the world that the current run acts on.

    A state that code inside a run reports about that run never decides (origin "inside"): a
    verifier reads the state that `task(environment=...)` or `Workspace.record_state` recorded.

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
    run.trajectory.record_state(state, origin_of(run.trajectory.id, None))


def flush(timeout_s: float = 5.0) -> int:
    """Make everything captured so far durable and offer it to the exporters.

    Args:
        timeout_s: Longest time to wait, in seconds.

    Returns:
        Number of spans that are not shipped yet; 0 if no exporter is configured.
    """
    deadline = time.monotonic() + timeout_s
    fault_reports.tell()
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
