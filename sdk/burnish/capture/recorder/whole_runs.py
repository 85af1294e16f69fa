"""Record a complete run as if it had been captured.

Its parts use the same recorder calls as those of a running agent, with times and span ids that
depend only on the run. So imported runs are redacted, numbered and stored like captured ones.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from burnish.capture.content.redaction_guard import Guarded
from burnish.capture.recorder.calls import (
    finish_model_call,
    finish_tool_run,
    start_model_call,
    start_run,
    start_tool_run,
)
from burnish.capture.recorder.facts import Fact, outcome_event
from burnish.capture.recorder.requests import (
    TOKENS,
    ModelReply,
    ModelRequest,
    RunRequest,
    ToolReply,
    ToolRequest,
)
from burnish.capture.recorder.runs import LiveTrajectory, Run, registry
from burnish.capture.recorder.sealing import readable
from burnish.journal.events import AnyEvent, Ref
from burnish.records import Failure, ModelCall, Outcome, ToolRun, Trajectory

_KEPT_EXTRAS = ("weight",)


def events_of(
    trajectory: Trajectory, at: int, door: Guarded | None = None, *, origin: str = "own"
) -> Iterator[Fact]:
    """Yield the events of a finished run, each with the contents that it names.

    Args:
        trajectory: The run; model calls and tool runs are recorded in the order of `started_ns`.
        at: Time of its first event, in nanoseconds since the epoch; each further event is a
            nanosecond later.
        door: Redacts texts and contents; None keeps all.
        origin: Origin of the outcomes and the final state of the run.
    """
    recorded = _WholeRun(trajectory, at, door)
    recorded.record(origin)
    yield from recorded.facts


class _WholeRun(LiveTrajectory):
    """Collects the events of one run instead of writing them."""

    def __init__(self, run: Trajectory, at: int, door: Guarded | None) -> None:
        super().__init__(run.agent, run.id, door)
        self.clock = itertools.count(at).__next__
        self.facts: list[Fact] = []
        self._given = run
        self._spans = (
            hashlib.blake2b(f"{run.id}/{n}".encode(), digest_size=8).hexdigest()
            for n in itertools.count()
        )
        self.root.span = next(self._spans)
        self.thread_id = run.thread_id

    def hand_over(  # pyright: ignore[reportIncompatibleMethodOverride] - a static method there
        self, events: Sequence[AnyEvent], blobs: Mapping[Ref, bytes], losses: dict[str, int]
    ) -> None:
        """Keep events, with values of the declared types."""
        self.facts += [(readable(event, losses), dict(blobs)) for event in events]

    def record(self, origin: str) -> None:
        """Record the run, its calls by time, its end, and its facts."""
        run = self._given
        first = run.model_calls[0].messages if run.model_calls else []
        task = {"user": run.user, "task_id": run.task_id, "source": run.source}
        request = RunRequest(
            input={"messages": first} if run.input is None else run.input,
            metadata=run.metadata,
            tags=run.tags,
            task=task,
        )
        start_run(self, request)
        calls = [*run.model_calls, *run.tool_runs]
        for call in sorted(calls, key=lambda call: (call.started_ns, isinstance(call, ToolRun))):
            self._model_call(call) if isinstance(call, ModelCall) else self._tool_run(call)
        self.last_reply = None  # the run records its answer itself
        self.finish(run.status, answer=run.answer)
        if run.final_state is not None:
            self.record_state(run.final_state, origin)
        for outcome in run.outcomes:
            self._outcome(outcome, origin)

    def _open(self, kind: str) -> Run:
        return Run(self.root, kind, object(), next(self._spans))

    def _model_call(self, call: ModelCall) -> None:
        run = self._open("model")
        start_model_call(
            run, ModelRequest(messages=call.messages, tools=call.tools, model=call.policy.model)
        )
        registry.remove(run)
        facts: dict[str, Any] = {name: getattr(call, name) for name in TOKENS}
        extras = {name: call.extras[name] for name in _KEPT_EXTRAS if name in call.extras}
        reply = ModelReply(
            message=call.reply,
            facts={"finish_reason": call.finish_reason, **facts, **_failure_fields(call.error)},
            extras=extras,
        )
        finish_model_call(run, reply)

    def _tool_run(self, call: ToolRun) -> None:
        run = self._open("tool")
        request = ToolRequest(
            name=call.name,
            arguments=call.arguments,
            call_id=call.call_id,
            raw_arguments=call.raw_arguments,
        )
        start_tool_run(run, request)
        registry.remove(run)
        reply = ToolReply(result={"response": call.result}, is_error=call.is_error)
        finish_tool_run(run, reply, **_failure_fields(call.error))

    def _outcome(self, outcome: Outcome, origin: str) -> None:
        told = msgspec.structs.replace(outcome, reported_ns=self.clock(), origin=origin)
        event, blobs = outcome_event(told, self.content, trajectory_id=self.id)
        self.facts.append((event, blobs))


def _failure_fields(error: Failure | None) -> dict[str, str]:
    return {} if error is None else {"error_type": error.type, "error": error.message}
