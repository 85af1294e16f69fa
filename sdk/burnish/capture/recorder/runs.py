"""Keep the open runs of this process: their nesting, their retries, and their registry.

A run is one open part of a trajectory: the invocation itself, a node, a model call or a tool. The
registry finds it by the id that callbacks use. `calls` records every start; every end goes through
`LiveTrajectory.end_run` or `finish`, and every event of a run through `send` or `wait`, which seal
it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from burnish.capture.content.redaction_guard import Guarded
from burnish.capture.content.shared_content import Blobs, Content
from burnish.capture.recorder import sink, thread_runs
from burnish.capture.recorder.ids import new_id
from burnish.capture.recorder.sealing import seal
from burnish.files import platform
from burnish.journal.events import (
    AnyEvent,
    ModelEnded,
    NodeEnded,
    Ref,
    RunEnded,
    StateRecorded,
    ToolEnded,
)

_NO_BLOBS: Blobs = {}
_ENDS: dict[str, type[NodeEnded | ModelEnded | ToolEnded]] = {
    "node": NodeEnded,
    "model": ModelEnded,
    "tool": ToolEnded,
}


class GraphPosition(msgspec.Struct, frozen=True, gc=False):
    """The place of a run in a graph; runs at the same place share one."""

    node: str | None = None
    step: int | None = None
    namespace: str | None = None


_NOWHERE = GraphPosition()


class Run:
    """One open part of a trajectory: the invocation itself, a node, a model call or a tool."""

    # Defaults of most runs, kept on the class.
    attempt = 1
    chunks: list[Any] | None = None
    first_token_at: int | None = None
    last_tries: dict[Any, int] | None = None
    name: str | None = None
    outside: Any = None  # OpenTelemetry's context before it, if it was made current
    redacted = False
    retry_key: Any = None  # equal for tries of the same thing, if only failures show a retry
    runnable: Any = None  # the custom runnable whose entry point it is
    wire: list[dict[str, Any]] | None = None  # chunks as the server sent them

    def __init__(self, parent: Run, kind: str, key: Any, span: str) -> None:
        self.trajectory = parent.trajectory
        self.parent: Run | None = parent
        self.kind = kind  # "node", "model", "tool"; a Root is an "agent"
        self.key = key  # its key in the registry
        self.span = span
        self.place = parent.place
        self.speaker = parent.speaker
        self.agent_name = parent.agent_name

    def is_below(self, other: Run) -> bool:
        """Return whether this run was started by another one, directly or through other runs."""
        above = self.parent
        while above is not None:
            if above is other:
                return True
            above = above.parent
        return False

    def count_try(self, key: Any) -> int:
        """Count one more try of something below this run; return the number of earlier tries."""
        tries = self.last_tries
        if tries is None:
            tries = self.last_tries = {}
        tries[key] = number = tries.get(key, 0) + 1
        return number

    def number_execution(self, key: Any) -> None:
        """Number a run with a name of its own: each start under that name is one more try."""
        parent = self.parent
        if parent is not None:
            self.attempt = parent.attempt - 1 + parent.count_try(key)

    def number_try(self, key: Any) -> None:
        """Number a run without a name of its own: it is a retry once the same thing has failed."""
        self.retry_key = key
        parent = self.parent
        if parent is not None:
            tries = parent.last_tries
            self.attempt = parent.attempt + (0 if tries is None else tries.get(key, 0))

    def failed(self) -> None:
        """Count a failure, so that the next start of the same thing is its next try."""
        if self.parent is not None and self.retry_key is not None:
            self.parent.count_try(self.retry_key)


class Root(Run):
    """The run of the invocation itself."""

    def __init__(self, trajectory: LiveTrajectory) -> None:
        self.trajectory = trajectory
        self.parent = None
        self.kind = "agent"
        self.key: Any = None  # until it is registered
        self.span = new_id(8)
        self.place = _NOWHERE
        self.speaker: str | None = trajectory.agent
        self.agent_name: str | None = None  # as create_agent names it, inherited by metadata


class LiveTrajectory:
    """One attempt that is running in this process.

    Args:
        agent: Name of the agent.
        trajectory_id: The trajectory to resume; None begins a new one.
        door: Redacts its texts.
    """

    trace: str | None = None  # of an active OpenTelemetry span; otherwise its own id
    clock: Callable[[], int] = staticmethod(time.time_ns)
    hand_over = staticmethod(sink.write)  # where events go
    makes_checkpoints = False  # from which another invocation may continue

    def __init__(
        self, agent: str, trajectory_id: str | None = None, door: Guarded | None = None
    ) -> None:
        self.id = trajectory_id or new_id(16)
        self.agent = agent
        self.losses: dict[str, int] = {}
        self.content = Content(self.losses, door)
        self.thread_id: str | None = None
        self.environment: Any = None
        self.root = Root(self)
        self.open: dict[Any, Run] = {}  # below the root, by their keys, in the order of their start
        self.aliases: set[Any] = set()  # ids of runs that are not recorded separately
        self.waiting: deque[AnyEvent] = deque()  # events of nodes, sent with the next call's
        # Queues an event, which is written with the next call's; C code, if nothing is redacted.
        self.wait: Callable[[AnyEvent], object] = (
            self.waiting.append if door is None else self._wait_sealed
        )
        self.interrupts: list[str] = []
        self.last_reply: str | None = None
        self.awaits_tools = False  # the last reply called a tool
        self.raw_arguments: dict[str, str] = {}
        self.prompts: dict[str, str | None] = {}  # prompt versions that answered, by agent
        self.ended = False
        self.pid = os.getpid()

    def send(self, event: AnyEvent, blobs: Mapping[Ref, bytes] = _NO_BLOBS) -> AnyEvent:
        """Make an event and the waiting node events durable; return the event as stored."""
        if self.content.door is not None:
            event = self._sealed(event, blobs)
        waiting = self.waiting
        if not waiting:
            self.hand_over((event,), blobs, self.losses)
            return event
        events: list[AnyEvent] = []
        add, take = events.append, waiting.popleft
        try:
            while waiting:
                add(take())
        except IndexError:  # another thread took the last one
            pass
        add(event)
        self.hand_over(events, blobs, self.losses)
        return event

    def _wait_sealed(self, event: AnyEvent) -> None:
        self.waiting.append(self._sealed(event, _NO_BLOBS))

    def _sealed(self, event: AnyEvent, blobs: Collection[Ref]) -> AnyEvent:
        content = self.content
        return seal(event, content.door, self.losses, redacted=content.redacted(blobs))

    def find_prompt(self, speaker: str | None) -> str | None:
        """Return the prompt version that answers for a nested agent, or else for the agent itself."""
        found = self.prompts.get(speaker) if speaker is not None else None
        return found or self.prompts.get(self.agent)

    def close_below(self, run: Run, error: BaseException | None) -> None:
        """Close the open runs below a run, innermost first."""
        for child in reversed(list(self.open.values())):
            if child.is_below(run) and registry.remove(child):
                self.cut(child, error)

    def cut(self, run: Run, error: BaseException | None) -> None:
        """Close a run whose end was not reported."""
        if run.kind == "node":
            self.end_run(run, cut=True)
            return
        name, words = describe_error(error)
        blobs: Blobs = {}
        fields: dict[str, Any] = {}
        if run.kind == "model":
            fields = self.partial_of(run, blobs)
        self.end_run(run, blobs, cut=True, error_type=name, error=words, **fields)

    def partial_of(self, run: Run, blobs: Blobs) -> dict[str, Any]:
        """Return the streamed part of an unfinished model call, as fields of its end."""
        fields: dict[str, Any] = {"first_token_at": run.first_token_at, "redacted": run.redacted}
        text = "".join(chunk for chunk in run.chunks or () if isinstance(chunk, str))
        if text:
            fields["extras"], blob = self.content.value({"partial": text})
            blobs[fields["extras"]] = blob
        return fields

    def end_run(self, run: Run, blobs: Blobs = _NO_BLOBS, **fields: Any) -> None:
        """Record the end of a node, a model call or a tool."""
        made = _ENDS[run.kind](at=self.clock(), trajectory=self.id, span=run.span, **fields)
        if run.kind == "node":
            self.wait(made)
        else:
            self.send(made, blobs)

    def finish(
        self,
        status: str,
        *,
        answer: str | None = None,
        output: Any = None,
        error: BaseException | None = None,
    ) -> None:
        """End this invocation: close open runs, record the state of the world and the result."""
        if self.ended or self.pid != os.getpid():  # a forked child does not end its parent's run
            return
        self.ended = True
        if status == "abandoned" and self._is_answered():
            status = "completed"
        self.close_below(self.root, error)
        self._record_state()
        blobs: Blobs = {}
        ref = None
        if output is not None:
            ref, blob = self.content.value(output)
            blobs[ref] = blob
        name, words = describe_error(error) if status == "failed" else (None, None)
        ended = RunEnded(
            at=self.clock(),
            trajectory=self.id,
            span=self.root.span,
            status=status,
            answer=answer if answer is not None else self.last_reply,
            output=ref,
            error_type=name,
            error=words,
            losses=dict(self.losses),
            interrupts=list(self.interrupts),
        )
        self.send(ended, blobs)

    def _is_answered(self) -> bool:
        """Return whether an abandoned stream had its whole answer: not cut, with no pending tool.

        A reader that stops after the answer leaves the stream in the same way as one that gives up.
        """
        if self.last_reply is None or not self.last_reply.strip() or self.awaits_tools:
            return False
        return not any(
            run.kind in ("model", "tool") for run in self.open.values() if run.is_below(self.root)
        )

    def _record_state(self) -> None:
        try:
            state = getattr(self.environment, "state", None)
            value = None if state is None else state()
        except Exception:  # noqa: BLE001 - the user's code; a verifier will find no state
            self.losses["state_not_recorded"] = self.losses.get("state_not_recorded", 0) + 1
            return
        if state is not None:
            self.record_state(value)

    def record_state(self, value: Any, origin: str = "own") -> None:
        """Record the state of the world that this attempt acts on."""
        ref, blob = self.content.value(value)
        event = StateRecorded(at=self.clock(), trajectory=self.id, state=ref, origin=origin)
        self.send(event, {ref: blob})


def describe_error(error: BaseException | None) -> tuple[str | None, str | None]:
    """Return type and message of an error."""
    if error is None:
        return None, None
    try:
        words = str(error)
    except Exception:  # noqa: BLE001 - the error's own code
        words = ""
    return type(error).__name__, words


class RunRegistry:
    """All open runs of this process, by the ids that callbacks use."""

    def __init__(self) -> None:
        self.runs: dict[Any, Run] = {}
        self.expected: dict[Any, str] = {}  # run id of a nested wrapped agent -> its name
        self.interrupted: dict[str, str] = {}  # thread -> trajectory that waits for an answer
        self.active = 0

    def add(self, run: Run) -> None:
        """Register an open run below a root."""
        self.runs[run.key] = run.trajectory.open[run.key] = run

    def remove(self, run: Run) -> bool:
        """Remove a run; return False if it was removed before, when a run above it failed."""
        key = run.key
        self.runs.pop(key, None)
        return run.trajectory.open.pop(key, None) is not None

    def alias(self, run: Run, key: Any) -> None:
        """Assign events under `key` to `run`."""
        self.runs[key] = run
        run.trajectory.aliases.add(key)

    def drop_alias(self, run: Run, key: Any) -> None:
        """Remove an alias."""
        self.runs.pop(key, None)
        run.trajectory.aliases.discard(key)

    def begin(self, trajectory: LiveTrajectory, key: Any) -> None:
        """Register a trajectory's root run; a key of None is set later, by `name`."""
        self.active += 1
        if key is not None:
            self.name(trajectory.root, key)

    def name(self, root: Run, key: Any) -> None:
        """Assign events under `key` to a root run."""
        root.key = key
        self.runs[key] = root

    def end(self, trajectory: LiveTrajectory, status: str, **how: Any) -> None:
        """End a trajectory once; later calls do nothing."""
        if trajectory.ended:
            return
        try:
            trajectory.finish(status, **how)
        finally:
            self.active -= 1
            for key in (trajectory.root.key, *trajectory.aliases):
                self.runs.pop(key, None)
            trajectory.content.forget()
            self._remember(trajectory, status)

    def _remember(self, trajectory: LiveTrajectory, status: str) -> None:
        thread = trajectory.thread_id
        if thread is None:
            return
        if trajectory.makes_checkpoints:
            thread_runs.note_end(thread, trajectory.id, trajectory.clock())
        if status == "interrupted":
            self.interrupted[thread] = trajectory.id
            while len(self.interrupted) > _INTERRUPTED:
                self.interrupted.pop(next(iter(self.interrupted)))
        else:
            self.interrupted.pop(thread, None)


_INTERRUPTED = 10_000
registry = RunRegistry()


def _after_fork_in_child() -> None:
    for run in list(registry.runs.values()):
        run.trajectory.waiting.clear()  # the parent writes them


platform.after_fork_in_child(_after_fork_in_child)
