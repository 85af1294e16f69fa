"""Define the records of an attempt: that it ended, and its graded result."""

from __future__ import annotations

import msgspec

from burnish.records import Record, VerdictLabel

AttemptKey = tuple[str, str, int]
"""Pool, task and number of an attempt."""
BACKEND, ENVIRONMENT = "backend", "environment"
"""What an infrastructure error came from."""


class EndedAttempt(Record, frozen=True, kw_only=True):
    """One attempt that ended."""

    task_id: str
    pool: str
    kind: str
    attempt: int  # from 1
    trajectory_id: str | None = None  # None if it never began
    error: str | None = None  # what ended it, if it did not complete
    infrastructure: bool = False  # that was an error of backend or environment
    fault_of: str | None = None  # backend or environment, if infrastructure
    refusal: str | None = None  # the backend's words if it answered no call of the attempt
    undecided: str | None = None  # why the environment cannot let it be judged
    skipped: bool = False  # it was not made, because a limit of the evaluation was reached
    start_sha256: str | None = None  # hash of the environment's state before the first act

    @property
    def key(self) -> AttemptKey:
        """Return pool, task and number."""
        return self.pool, self.task_id, self.attempt

    @property
    def recorded(self) -> bool:
        """Return whether the attempt was made, answered and recorded, without an infrastructure error."""
        return self.trajectory_id is not None and not self.infrastructure and not self.refusal


class AttemptResult(Record, frozen=True, kw_only=True):
    """The graded result of one attempt."""

    task_id: str
    pool: str
    kind: str
    attempt: int
    label: VerdictLabel
    trajectory_id: str | None = None
    status: str = "completed"
    reason: str | None = None  # why the label is unknown, or what ended the attempt
    infrastructure: bool = (
        False  # an error of backend or environment ended it, which says nothing about the adapter
    )
    fault_of: str | None = None  # backend or environment, if infrastructure
    refusal: str | None = None  # the backend's words if it answered no call of the attempt
    adapters: tuple[str | None, ...] = ()  # adapters that answered, as the server reports them
    cost: dict[str, float] = msgspec.field(
        default_factory=dict
    )  # steps, tool_calls, input_tokens, output_tokens, latency_s
    start_sha256: str | None = None  # hash of the environment's state before the first act

    @property
    def key(self) -> AttemptKey:
        """Return pool, task and number."""
        return self.pool, self.task_id, self.attempt

    @property
    def final(self) -> bool:
        """Return whether the result need not be made again: the attempt was made, without an infrastructure error."""
        return not self.infrastructure and self.status != "skipped"

    @property
    def cacheable(self) -> bool:
        """Return whether a later evaluation may take the result: it is final, and the backend answered a call."""
        return self.final and not self.refusal
