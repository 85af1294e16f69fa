"""Run one agent, bare or recorded, with models and tools that report their own calls.

`scenario` declares a scenario, `perform` runs it, and `check` compares the witnesses' calls with
the journal.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from langchain_core._api import LangChainBetaWarning
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.types import Command
from pydantic import PrivateAttr

import burnish
from burnish.capture.content.message_codec import encode_for_storage
from burnish.journal.events import (
    ModelEnded,
    ModelStarted,
    NodeStarted,
    RunEnded,
    RunStarted,
    ToolStarted,
    canonical,
)
from burnish.testing import ScriptedChatModel


class Scenario(NamedTuple):
    """One way in which an agent runs."""

    name: str
    act: Callable[[Play], Any]
    calls: dict[str, int]  # path of a call below the agent -> how often
    statuses: tuple[str, ...] = ("completed",)  # of each invocation, in order of their ends
    trajectories: int = 1
    errors: tuple[str, ...] = ()  # paths of what really failed, with the error
    cached: int = 0  # calls that no model was really asked
    cut: int = 0  # calls that were left in the middle
    same_output: bool = True  # whether two runs give the same


SCENARIOS: dict[str, Scenario] = {}


def scenario(calls: dict[str, int], **expected: Any) -> Callable[[Any], Any]:
    """Declare a scenario: a function of a `Play` that returns the agent's result."""

    def declare(act: Any) -> Any:
        assert act.__name__ not in SCENARIOS
        SCENARIOS[act.__name__] = Scenario(act.__name__, act, calls, **expected)
        return act

    return declare


class Witness(ScriptedChatModel):
    """A scripted model that keeps its received requests."""

    endless: bool = False  # streams its first word and waits
    _asked: Any = PrivateAttr(default=None)

    def witness(self, asked: list[bytes]) -> Witness:
        self._asked = asked
        return self

    def _note(self, messages: list[BaseMessage]) -> None:
        self._asked.append(canonical([encode_for_storage(message) for message in messages]))

    def _next_message(self, messages: list[BaseMessage]) -> AIMessage:
        self._note(messages)
        return super()._next_message(messages)

    async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self._note(messages)
        return await super()._agenerate(messages, *args, **kwargs)

    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk
            if self.endless:
                await asyncio.Event().wait()


class Play:
    """Tools of a scenario: witness models and tools, and `wrap`."""

    def __init__(self, wrapped: bool) -> None:
        self.wrapped = wrapped
        self.asked: list[bytes] = []
        self.ran: list[str] = []

    def wrap(self, graph: Any, agent: str = "agent") -> Any:
        """Return the agent; recorded if the play is."""
        return burnish.wrap(graph, agent=agent) if self.wrapped else graph

    def model(self, *answers: Any, **fields: Any) -> Witness:
        """Return a model that gives these answers."""
        return Witness(script=list(answers), **fields).witness(self.asked)

    def tool(self, function: Callable[..., Any], **options: Any) -> BaseTool:
        """Return a function as a tool whose runs are counted."""
        function.__doc__ = function.__doc__ or function.__name__.replace("_", " ")
        name = function.__name__
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run(*args: Any, **kwargs: Any) -> Any:
                self.ran.append(name)
                return await function(*args, **kwargs)

            return StructuredTool.from_function(coroutine=run, name=name, **options)

        @functools.wraps(function)
        def run_now(*args: Any, **kwargs: Any) -> Any:
            self.ran.append(name)
            return function(*args, **kwargs)

        return StructuredTool.from_function(run_now, name=name, **options)


def perform(scene: Scenario, wrapped: bool) -> tuple[Play, Any]:
    """Run a scenario; return its play, and the agent's result or error."""
    play = Play(wrapped)
    try:
        with warnings.catch_warnings():  # beta and deprecated features are tried too
            warnings.simplefilter("ignore", LangChainBetaWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            given = scene.act(play)
            if inspect.iscoroutine(given):
                given = asyncio.run(given)
    except Exception as error:
        if "failed" not in scene.statuses:
            raise
        given = ["raised", type(error).__name__, str(error)]
    return play, given


_VOLATILE = {
    "id", "run_id", "parent_ids", "langgraph_checkpoint_ns", "checkpoint_ns", "checkpoint_id",
    "timestamp", "ts", "interrupts", "created_at", "tool_call_ids", "name_id", "ns", "namespace",
    "duration_ms", "event_id", "message_id", "langgraph_path",
}  # fmt: skip


def comparable(value: Any) -> Any:
    """Return a result of an agent without ids and times that differ from run to run."""
    if isinstance(value, BaseMessage):
        value = value.model_dump() | {"class": type(value).__name__}
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items() if key not in _VOLATILE}
    if isinstance(value, (list, tuple)):
        return [comparable(item) for item in value]
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, Command):
        return ["Command", comparable(value.update), comparable(value.goto)]
    if type(value).__name__ in ("Interrupt", "StateSnapshot", "Overwrite"):
        return [type(value).__name__, comparable(getattr(value, "value", None))]
    return repr(value) if " at 0x" not in repr(value) else type(value).__name__


def called(events: list[Any]) -> Counter[str]:
    """Count each model call as `path/[model]` and each tool run as `path/tool()`."""
    paths = paths_of(events)
    calls = [event for event in events if isinstance(event, (ModelStarted, ToolStarted))]
    return Counter(paths[event.span] for event in calls)


def paths_of(events: list[Any]) -> dict[str, str]:
    """Return the path of each span below its agent, by the names of its ancestors."""
    paths: dict[str, str] = {}
    for event in events:
        if isinstance(event, RunStarted):
            paths[event.span] = ""
            continue
        if isinstance(event, NodeStarted):
            name = event.name
        elif isinstance(event, ToolStarted):
            name = f"{event.name}()"
        elif isinstance(event, ModelStarted):
            name = f"[{event.model}]"
        else:
            continue
        above = paths[event.parent]  # a parent that was never started is a failure
        paths[event.span] = f"{above}/{name}" if above else name
    return paths


def failed(events: list[Any]) -> list[str]:
    """Return the spans that ended in an error, by path."""
    paths = paths_of(events)
    return sorted(
        f"{paths[event.span] or 'agent'}: {event.error_type}"
        for event in events
        if getattr(event, "error_type", None) is not None
    )


def requests(journal: Any) -> list[bytes]:
    """Return the messages of each answered model call, as stored."""
    unasked = {event.span for event in journal.of(ModelEnded) if not event.sampled}
    return [
        canonical([journal.value(ref) for ref in event.messages])
        for event in journal.of(ModelStarted)
        if event.span not in unasked
    ]


def check(scene: Scenario, play: Play, journal: Any) -> None:
    """Check the rules that hold for every recorded scenario."""
    events = journal.events
    assert called(events) == scene.calls
    assert sorted(requests(journal)) == sorted(play.asked)
    assert sum(not event.sampled for event in journal.of(ModelEnded)) == scene.cached
    assert Counter(event.name for event in journal.of(ToolStarted)) == Counter(play.ran)
    assert len({event.trajectory for event in events}) == scene.trajectories
    assert failed(events) == sorted(scene.errors)
    assert journal.list_open_spans() == set()
    ended = journal.of(RunEnded)
    assert tuple(event.status for event in ended) == scene.statuses
    assert [event.losses for event in ended] == [{}] * len(ended)
    cut = [event for event in events if isinstance(event, ModelEnded) and event.cut]
    assert len(cut) == scene.cut
