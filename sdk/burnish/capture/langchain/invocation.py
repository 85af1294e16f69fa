"""Start, join or resume a trajectory when an agent is invoked.

`enter` decides between the three. `run_start` records RunStarted, `wrapping` runs the invocation,
`callback_handler` records what happens inside.
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

from burnish import settings
from burnish.capture import fault_reports, faults
from burnish.capture.content.request_parameters import own_metadata
from burnish.capture.langchain import langgraph_store, resume
from burnish.capture.langchain.callback_handler import on_uninvited, shared_handler
from burnish.capture.langchain.completion import answer_of, status_of
from burnish.capture.langchain.pending_runs import Awaited, is_awaited
from burnish.capture.langchain.workflows import operation_of
from burnish.capture.recorder import context, thread_runs
from burnish.capture.recorder.ids import new_uuid
from burnish.capture.recorder.runs import Run, registry
from burnish.capture.recorder.values import text_of_value
from burnish.capture.run_start import Agent, Start, begin, recording


class EntryPoint(NamedTuple):
    """An entry point of a wrapped runnable: the name of the method, and how its run is identified."""

    name: str
    starts_first: bool = False  # no other run starts in it before its own


class Invocation:
    """One recorded invocation; `failed` or `done` is called when it has ended."""

    __slots__ = ("config", "run", "trajectory")

    def __init__(self, config: dict[str, Any], run: Awaited) -> None:
        self.config = config
        self.run = run
        self.trajectory = run.trajectory  # None if it is part of another trajectory

    @faults.guarded
    def failed(self, error: BaseException) -> None:
        """Record that it raised, was cancelled or left."""
        self.run.over()
        if self.trajectory is None:
            return
        registry.end(self.trajectory, status_of(error), error=error)
        fault_reports.tell()

    @faults.guarded
    def done(self, output: Any = None) -> None:
        """Record that it returned; callbacks usually have ended the trajectory before."""
        self.run.over()
        if self.trajectory is not None and not self.trajectory.ended:
            answer = answer_of(output) if output is not None else None
            registry.end(self.trajectory, "completed", answer=answer)
        fault_reports.tell()


def is_entered(graph: Any, config: Any) -> bool:
    """Return whether this invocation is part of an entered one: an entry point calls another."""
    run_id = config.get("run_id") if isinstance(config, dict) else None
    key = getattr(run_id, "int", None)
    if key is None:
        return is_awaited(graph)
    return key in registry.runs or key in registry.expected


@faults.guarded
def enter(
    agent: Agent, entry: EntryPoint, graph: Any, input: Any, config: Any
) -> Invocation | None:
    """Record an invocation of a wrapped runnable; return None if it is not recorded."""
    return _enter_run(agent, entry, graph, input, config, None)


@faults.guarded
def enter_resumed(
    agent: Agent, entry: EntryPoint, graph: Any, input: Any, config: Any, found: str | None
) -> Invocation | None:
    """Record an invocation as `enter` does, with the trajectory of the checkpoint already known."""
    return _enter_run(agent, entry, graph, input, config, found or resume.NOT_FOUND)


def _enter_run(
    agent: Agent, entry: EntryPoint, graph: Any, input: Any, config: Any, found: str | None
) -> Invocation | None:
    given: dict[str, Any] = dict(config) if config else {}
    if not recording() or is_entered(graph, given):
        return None
    _settle_id(given, entry)
    handler = shared_handler()
    langgraph_store.listen()
    if _find_joined_run(given) is not None:
        return _start_invocation(given, Awaited(agent.name, graph, input, None))
    configurable = resume.configurable_of(graph, given)
    thread = configurable.get("thread_id")
    thread = None if thread is None else text_of_value(thread)
    taken_up = _taken_up(graph, input, given, configurable, found)
    start = Start(
        agent=agent,
        entry=f"{entry.name} {type(graph).__name__}",
        input=None if entry.name.endswith("transform") else resume.readable_input(input),
        thread_id=thread,
        tags=tuple(given.get("tags") or ()),
        metadata=own_metadata(given.get("metadata")),
        resumes=taken_up,
        operation=operation_of(graph),
    )
    kept = resume.keeps_checkpoints(graph, configurable)  # and may therefore be interrupted
    if kept:
        _attach_handler(given, handler)
    trajectory = begin(start, None)
    if kept and thread is not None:
        trajectory.makes_checkpoints = True
        thread_runs.note_start(thread, trajectory.id, trajectory.clock())
    return _start_invocation(given, Awaited(agent.name, graph, input, trajectory))


def _start_invocation(config: dict[str, Any], run: Awaited) -> Invocation:
    """Create an invocation whose run starts under the id in its config, or is the next run here."""
    run_id = config.get("run_id")
    if run_id is None:
        run.expect()
    else:
        run.start(run_id.int)
    return Invocation(config, run)


def _settle_id(config: dict[str, Any], entry: EntryPoint) -> None:
    """Convert the caller's run id in the config to a UUID; add an id only if the run needs one.

    Raises:
        ValueError: If the caller's id is not the text of a UUID.
    """
    given = config.get("run_id")
    if given is None:
        if not entry.starts_first:
            config["run_id"] = new_uuid()
    elif not isinstance(given, uuid.UUID):
        config["run_id"] = uuid.UUID(str(given))


def _taken_up(
    graph: Any, input: Any, config: dict[str, Any], configurable: dict[str, Any], found: str | None
) -> str | None:
    if not resume.is_resume(input, configurable):
        return None
    if found is None:
        found = resume.trajectory_of_checkpoint(graph, config, configurable)
    if found is None or found == resume.NOT_FOUND:
        return registry.interrupted.get(text_of_value(configurable.get("thread_id")))
    return found


def _find_joined_run(config: dict[str, Any]) -> Run | None:
    """Return the captured run that this invocation is part of."""
    run = context.run_of_config(config) or context.run_of_config(context.ambient_config())
    if run is None:
        run = context.scope.get()
    return None if run is None or run.trajectory.ended else run


def _attach_handler(config: dict[str, Any], handler: Any) -> None:
    """Add the handler to the config, unless it is inherited.

    LangChain finds the handler without the config; LangGraph reports interrupts only to those in
    it.
    """
    callbacks = config.get("callbacks")
    if callbacks is None:
        ambient = context.ambient_config()
        callbacks = ambient.get("callbacks") if ambient else None
    if callbacks is None:
        config["callbacks"] = [handler]
    elif isinstance(callbacks, list):
        if handler not in callbacks:
            config["callbacks"] = [*callbacks, handler]
    elif handler not in callbacks.handlers:
        manager = callbacks.copy()
        manager.add_handler(handler, inherit=True)
        config["callbacks"] = manager


def listen() -> None:
    """Observe every run from now on, also before anything is wrapped."""
    shared_handler()


@on_uninvited
def adopt(key: int) -> Run | None:
    """Start a trajectory for an unwrapped run, if `capture="all"` is set."""
    if settings.current().capture != "all" or context.suppressed.get():
        return None
    langgraph_store.listen()
    start = Start(agent=Agent("unnamed"), entry="callback", input=None)
    return begin(start, key).root
