"""A run that is known as a whole becomes events, as if it had been captured.

Knows: which events tell of a run, its calls and what was reported of it, and in which order.
Does not know: where the run comes from.

Content passes the same door as that of captured runs: what the setting `redact` names is replaced before it is stored.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

from burnish.capture.content import Blobs, Content
from burnish.capture.models import TOKENS
from burnish.capture.redaction import Guarded
from burnish.journal import events as e
from burnish.records import ModelCall, ToolRun, Trajectory

Told = tuple[e.AnyEvent, Blobs]


def events_of(trajectory: Trajectory, at: int, door: Guarded | None = None) -> Iterator[Told]:
    """The events of a finished run, each with the contents that it names.

    Args:
        trajectory: The run; model calls and tool runs are told in the order of `started_ns`.
        at: Time of its first event, in nanoseconds since the epoch; each further event is a nanosecond later.
        door: What is replaced in contents; None keeps all.
    """
    yield from _Teller(trajectory, at, door).told()


class _Teller:
    """Tells of one run, with span ids that depend on nothing but the run."""

    def __init__(self, trajectory: Trajectory, at: int, door: Guarded | None) -> None:
        self.run = trajectory
        self.content = Content({}, door)
        self._times = itertools.count(at)
        self._spans = (
            hashlib.blake2b(f"{trajectory.id}/{n}".encode(), digest_size=8).hexdigest()
            for n in itertools.count()
        )
        self.root = next(self._spans)

    def told(self) -> Iterator[Told]:
        """All events: the run, its calls by time, its end, and what is known of it."""
        yield self._started()
        calls = [*self.run.model_calls, *self.run.tool_runs]
        for call in sorted(calls, key=lambda call: (call.started_ns, isinstance(call, ToolRun))):
            yield from self._model(call) if isinstance(call, ModelCall) else self._tool(call)
        answer = self.content.text(self.run.answer)
        yield self._event(e.RunEnded, {}, span=self.root, status=self.run.status, answer=answer)
        if self.run.final_state is not None:
            blobs: Blobs = {}
            state = self._ref(blobs, self.run.final_state)
            yield self._event(e.StateRecorded, blobs, state=state)
        for outcome in self.run.outcomes:
            label = self.content.text(outcome.label)
            facts = {"success": outcome.success, "score": outcome.score, "label": label}
            yield self._event(e.OutcomeReported, {}, source=outcome.source, **facts)

    def _started(self) -> Told:
        run, blobs = self.run, {}
        first = run.model_calls[0].messages if run.model_calls else []
        given = {"messages": first} if run.input is None else run.input
        return self._event(
            e.RunStarted,
            blobs,
            span=self.root,
            trace=run.id,
            agent=run.agent,
            thread_id=self.content.text(run.thread_id),
            user=self.content.text(run.user),
            task_id=run.task_id,
            source=run.source,
            tags=list(run.tags),
            input=self._ref(blobs, given),
            metadata=self._ref(blobs, run.metadata) if run.metadata else None,
        )

    def _model(self, call: ModelCall) -> Iterator[Told]:
        span, blobs = next(self._spans), {}
        asked = {
            "messages": [self._ref(blobs, message) for message in call.messages],
            "tools": self._ref(blobs, call.tools) if call.tools else None,
            "model": call.policy.model,
        }
        started = self._event(e.ModelStarted, blobs, span=span, parent=self.root, **asked)
        yield started
        blobs = {}
        reply = self._ref(blobs, call.reply) if call.reply is not None else None
        kept = not (started[0].redacted or self.content.redacted(blobs))
        facts = {name: getattr(call, name) for name in TOKENS if kept}
        yield self._event(
            e.ModelEnded,
            blobs,
            span=span,
            reply=reply,
            finish_reason=call.finish_reason,
            **self._error(call),
            **facts,
        )

    def _tool(self, run: ToolRun) -> Iterator[Told]:
        span, blobs = next(self._spans), {}
        door = self.content.door
        raw = door.arguments(run.raw_arguments) if door else run.raw_arguments
        yield self._event(
            e.ToolStarted,
            blobs,
            span=span,
            parent=self.root,
            name=run.name,
            call_id=run.call_id,
            arguments=self._ref(blobs, run.arguments),
            raw_arguments=raw,
        )
        blobs = {}
        result = self._ref(blobs, {"response": run.result})
        yield self._event(
            e.ToolEnded, blobs, span=span, result=result, is_error=run.is_error, **self._error(run)
        )

    def _error(self, call: ModelCall | ToolRun) -> dict[str, str | None]:
        if call.error is None:
            return {}
        return {"error_type": call.error.type, "error": self.content.text(call.error.message)}

    def _ref(self, blobs: Blobs, value: Any) -> e.Ref:
        ref, blob = self.content.value(value)
        blobs[ref] = blob
        return ref

    def _event(self, kind: Any, blobs: Blobs, **fields: Any) -> Told:
        redacted = self.content.redacted(blobs)
        at = next(self._times)
        return kind(at=at, trajectory=self.run.id, redacted=redacted, **fields), blobs
