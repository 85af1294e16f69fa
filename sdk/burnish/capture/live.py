"""Trajectories that are running now, and the runs inside them.

Knows: how runs nest, are numbered, and are closed with their parent; which event each step makes.
Does not know: LangChain's callbacks (handler.py), who starts a trajectory (entry.py, tracing.py).
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from burnish.capture import sink
from burnish.capture.content import Blobs, Content
from burnish.capture.ids import new_id
from burnish.capture.redaction import Guarded
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


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where in a graph a run happens; runs at the same place share one."""

    node: str | None = None
    step: int | None = None
    namespace: str | None = None


_NOWHERE = Place()


class Run:
    """One open piece of a trajectory: the invocation itself, a node, a model call or a tool."""

    # What most runs leave as it is stands here once.
    attempt = 1
    chunks: list[Any] | None = None
    first_token_at: int | None = None
    last_tries: dict[Any, int] | None = None
    name: str | None = None
    outside: Any = None  # OpenTelemetry's context before it, where it was made current
    redacted = False
    retry_key: Any = None  # equal for tries of the same thing
    wire: list[dict[str, Any]] | None = None  # chunks as the server sent them

    def __init__(self, parent: Run, kind: str, key: Any, span: str) -> None:
        self.trajectory = parent.trajectory
        self.parent: Run | None = parent
        self.kind = kind  # "node", "model", "tool"; a Root is an "agent"
        self.key = key  # how the registry knows it
        self.span = span
        self.place = parent.place
        self.speaker = parent.speaker
        self.agent_name = parent.agent_name

    def is_below(self, other: Run) -> bool:
        """Whether this run was started by another one, or by what that one started."""
        above = self.parent
        while above is not None:
            if above is other:
                return True
            above = above.parent
        return False

    def count_try(self, key: Any) -> int:
        """Count one more try of something below this run; returns how many there were."""
        tries = self.last_tries
        if tries is None:
            tries = self.last_tries = {}
        tries[key] = number = tries.get(key, 0) + 1
        return number

    def tries(self, key: Any) -> int:
        """How many tries of something were counted below this run."""
        return 0 if self.last_tries is None else self.last_tries.get(key, 0)


class Root(Run):
    """The invocation itself."""

    def __init__(self, trajectory: LiveTrajectory) -> None:
        self.trajectory = trajectory
        self.parent = None
        self.kind = "agent"
        self.key: Any = None  # until the registry knows it
        self.span = new_id(8)
        self.place = _NOWHERE
        self.speaker: str | None = trajectory.agent
        self.agent_name: str | None = None  # as create_agent names it, inherited by metadata


class LiveTrajectory:
    """One attempt that is running in this process."""

    trace: str | None = None  # of an OpenTelemetry span that was active; else its own id is

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
        self.open: dict[Any, Run] = {}  # below the root, by their keys, in the order they began
        self.aliases: set[Any] = set()  # ids of runs that are not kept for themselves
        self.waiting: deque[AnyEvent] = deque()  # frames of nodes, sent with the next call's
        self.interrupts: list[str] = []
        self.last_reply: str | None = None
        self.raw_arguments: dict[str, str] = {}
        self.ended = False
        self.pid = os.getpid()

    def send(self, event: AnyEvent, blobs: Mapping[Ref, bytes] = _NO_BLOBS) -> None:
        """Make an event durable, and those of nodes that wait before it."""
        waiting = self.waiting
        if not waiting:
            sink.write((event,), blobs, self.losses)
            return
        events: list[AnyEvent] = []
        try:
            while waiting:
                events.append(waiting.popleft())
        except IndexError:  # another thread took the last one
            pass
        events.append(event)
        sink.write(events, blobs, self.losses)

    def close_below(self, run: Run, error: BaseException | None) -> None:
        """Close what is still open below a run, innermost first."""
        for child in reversed(list(self.open.values())):
            if child.is_below(run) and registry.remove(child):
                self.cut(child, error)

    def cut(self, run: Run, error: BaseException | None) -> None:
        """Close a run that did not say how it ended."""
        now = time.time_ns()
        name, words = self.describe(error)
        place = {"at": now, "trajectory": self.id, "span": run.span, "cut": True}
        if run.kind == "node":
            self.waiting.append(NodeEnded(**place))
            return
        if run.kind == "tool":
            self.send(ToolEnded(**place, error_type=name, error=words))
            return
        partial = partial_text(run.chunks)
        blobs: Blobs = {}
        extras = None
        if partial:
            extras, blob = self.content.value({"partial": partial})
            blobs[extras] = blob
        self.send(
            ModelEnded(
                **place,
                error_type=name,
                error=words,
                extras=extras,
                first_token_at=run.first_token_at,
            ),
            blobs,
        )

    def finish(
        self,
        status: str,
        *,
        answer: str | None = None,
        output: Any = None,
        error: BaseException | None = None,
    ) -> None:
        """End this invocation: close what is open, record the state of the world, say how it went."""
        if self.ended or self.pid != os.getpid():  # a forked child does not end its parent's run
            return
        self.ended = True
        self.close_below(self.root, error)
        self._record_state()
        blobs: Blobs = {}
        ref = None
        if output is not None:
            ref, blob = self.content.value(output)
            blobs[ref] = blob
        name, words = self.describe(error) if status == "failed" else (None, None)
        self.send(
            RunEnded(
                at=time.time_ns(),
                trajectory=self.id,
                span=self.root.span,
                status=status,
                answer=self.content.text(answer if answer is not None else self.last_reply),
                output=ref,
                error_type=name,
                error=words,
                losses=dict(self.losses),
                interrupts=self.interrupts,
            ),
            blobs,
        )

    def describe(self, error: BaseException | None) -> tuple[str | None, str | None]:
        """Type and message of an error."""
        if error is None:
            return None, None
        try:
            words = str(error)
        except Exception:  # noqa: BLE001 - the error's own code
            words = ""
        return type(error).__name__, self.content.text(words)

    def _record_state(self) -> None:
        state = getattr(self.environment, "state", None)
        if state is None:
            return
        try:
            value = state()
        except Exception:  # noqa: BLE001 - the user's code; a verifier will find no state
            self.losses["state_not_recorded"] = self.losses.get("state_not_recorded", 0) + 1
            return
        self.record_state(value)

    def record_state(self, value: Any) -> None:
        """Record the state of the world that this attempt acts on."""
        ref, blob = self.content.value(value)
        self.send(StateRecorded(at=time.time_ns(), trajectory=self.id, state=ref), {ref: blob})


def partial_text(chunks: list[Any] | None) -> str:
    """The text that a cut-off call had streamed."""
    return "".join(chunk for chunk in chunks or () if isinstance(chunk, str))


class Registry:
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
        """Take a run off; False if that was done before, when a run above it failed."""
        key = run.key
        self.runs.pop(key, None)
        return run.trajectory.open.pop(key, None) is not None

    def alias(self, run: Run, key: Any) -> None:
        """Let what happens under `key` belong to `run`."""
        self.runs[key] = run
        run.trajectory.aliases.add(key)

    def drop_alias(self, run: Run, key: Any) -> None:
        """End what `alias` began."""
        self.runs.pop(key, None)
        run.trajectory.aliases.discard(key)

    def begin(self, trajectory: LiveTrajectory, key: Any) -> None:
        """Register a trajectory's root run; a key of None is told later, by `name`."""
        self.active += 1
        if key is not None:
            self.name(trajectory.root, key)

    def name(self, root: Run, key: Any) -> None:
        """Let what happens under `key` belong to a root run."""
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
        if status == "interrupted":
            self.interrupted[thread] = trajectory.id
            while len(self.interrupted) > _INTERRUPTED:
                self.interrupted.pop(next(iter(self.interrupted)))
        else:
            self.interrupted.pop(thread, None)


_INTERRUPTED = 10_000
registry = Registry()


def _after_fork_in_child() -> None:
    for run in list(registry.runs.values()):
        run.trajectory.waiting.clear()  # the parent writes them


os.register_at_fork(after_in_child=_after_fork_in_child)
