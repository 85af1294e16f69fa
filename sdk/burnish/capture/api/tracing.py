"""Record agents that are not LangChain runnables: `trace`, as decorator or context manager.

A block or a function call becomes a trajectory; `Scope` is one of them. Model calls and tool runs
inside are recorded manually, by a recorded client, or by LangChain's callbacks.
`recorded_functions` opens a scope for each call.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from burnish.capture.api.recorded_functions import ScopeEntry, leave_context, record_calls
from burnish.capture.arguments import tolerate
from burnish.capture.content.request_parameters import own_metadata
from burnish.capture.faults import guarded
from burnish.capture.langchain import langgraph_store, resume
from burnish.capture.langchain.callback_handler import shared_handler
from burnish.capture.langchain.completion import answer_of, status_of
from burnish.capture.langchain.workflows import operation_of
from burnish.capture.manual_calls import HandwrittenModelCall, HandwrittenToolCall
from burnish.capture.recorder import calls, context
from burnish.capture.recorder.ids import new_id
from burnish.capture.recorder.runs import LiveTrajectory, Run, registry
from burnish.capture.recorder.values import read_text, read_texts, shown, text_of_value
from burnish.capture.run_start import Agent, Start, begin, recording
from burnish.capture.sync_async_context import Entered
from burnish.errors import CaptureError

_EXAMPLE = 'burnish.trace(agent="support", thread_id="t-42", tags=["vip"])'
_C = TypeVar("_C")
_F = TypeVar("_F", bound=Callable[..., Any])


class Scope:
    """One recorded call or block of an agent; the object of `with trace(...)`.

    Runs of LangChain that start inside belong to it, also without a config.
    """

    def __init__(self, agent: Agent, thread_id: str | None, given: Any, **about: Any) -> None:
        self._agent, self._thread_id, self._given = agent, thread_id, given
        self._about = about  # further fields of Start
        self._id: str | None = None
        self._run: Run | None = None
        self._owned: LiveTrajectory | None = None
        self._answer: Any = None

    @property
    def trajectory_id(self) -> str | None:
        """Return the trajectory's id, also after its end; None if it is not recorded."""
        return self._id

    def answer(self, value: Any) -> None:
        """Set the answer of the agent, if no function returns it."""
        self._answer = value

    @guarded
    def open(self, entry: str, of: Any = None) -> None:
        """Start recording; `of` is the runnable whose entry point this is."""
        if not recording():
            return
        if "langchain_core.callbacks" in sys.modules:  # otherwise there are no callbacks
            shared_handler()
            langgraph_store.listen()
        parent = context.current_run()
        key = object()
        if parent is None or parent.trajectory.ended:
            start = Start(self._agent, entry, self._given, thread_id=self._thread_id, **self._about)
            self._owned = begin(start, key)
            self._run = self._owned.root
            self._run.runnable = of
            self._id = self._owned.id
            return
        run = Run(parent, "node", key, new_id(8))
        run.speaker, run.runnable = self._agent.name, of
        calls.start_node(run, self._agent.name)
        self._run = run
        self._id = run.trajectory.id

    @guarded
    def close(self, output: Any = None, error: BaseException | None = None) -> None:
        """End the recording, once."""
        run, self._run = self._run, None
        if run is None:
            return
        if self._owned is not None:
            if error is not None:
                registry.end(self._owned, status_of(error), error=error)
                return
            said = self._answer if self._answer is not None else output
            registry.end(self._owned, "completed", answer=answer_of(said))
            return
        if not registry.remove(run):
            return
        if error is None:
            calls.finish_node(run)
        else:
            calls.fail_node(run, error)

    def holds(self, run: Run) -> bool:
        """Return whether a run is this scope's own."""
        return self._run is run

    def enter_context(self) -> ScopeEntry | None:
        """Make runs that start now belong to this scope."""
        run = self._run
        return None if run is None else (context.scope.set(run), run)


class trace(Entered[Scope]):  # noqa: N801 - used as `@burnish.trace(...)` and `with burnish.trace(...)`
    """Record an agent that is not a LangChain runnable.

    As a decorator of any function, generator, coroutine or asynchronous generator, or as a context
    manager. Inside, `trace.model_call(...)` and `trace.tool_call(...)` record calls manually;
    LangChain's runs are recorded automatically. Inside another recorded run it is a part of that
    run.

    Args:
        agent: Name of the agent, as in `burnish.toml`.
        thread_id: The conversation that it belongs to.
        tags: Labels of each trajectory.
        input: The input of the agent; a decorated function's arguments by default.
    """

    def __init__(
        self,
        *,
        agent: str,
        thread_id: str | None = None,
        tags: Sequence[str] = (),
        input: Any = None,
    ) -> None:
        if not isinstance(cast("object", agent), str) or not agent:
            raise CaptureError(
                f"trace() got the agent name {shown(agent)}",
                "a name",
                '@burnish.trace(agent="support")',
            )
        named = tolerate("trace(tags)", read_texts, tags, [], _EXAMPLE)
        self._agent = Agent(str(agent), tuple(named))
        self._thread_id = tolerate("trace(thread_id)", read_text, thread_id, None, _EXAMPLE)
        self._input = input
        self._open: list[tuple[Scope, ScopeEntry | None]] = []

    model_call = HandwrittenModelCall
    tool_call = HandwrittenToolCall

    @staticmethod
    def openai(client: _C) -> _C:
        """Copy an OpenAI client; the copy's model calls are recorded inside a trace."""
        from burnish.capture.clients.openai_client import recording_openai

        return recording_openai(client)

    @staticmethod
    def anthropic(client: _C) -> _C:
        """Copy an Anthropic client; the copy's model calls are recorded inside a trace."""
        from burnish.capture.clients.anthropic_client import recording_anthropic

        return recording_anthropic(client)

    @staticmethod
    def google(client: _C) -> _C:
        """Copy a `google.genai.Client`; the copy's model calls are recorded inside a trace."""
        from burnish.capture.clients.google_client import recording_google

        return recording_google(client)

    def _enter(self) -> Scope:
        scope = Scope(self._agent, self._thread_id, self._input)
        scope.open("with")
        self._open.append((scope, scope.enter_context()))
        return scope

    def _leave(self, error: BaseException | None) -> None:
        if not self._open:
            return
        scope, token = self._open.pop(self._innermost_here())
        leave_context(token)
        scope.close(error=error)

    def _innermost_here(self) -> int:
        """Return the index of the newest open scope of this context; tasks may share one `trace`."""
        here = context.scope.get()
        for place in range(len(self._open) - 1, -1, -1):
            if here is not None and self._open[place][0].holds(here):
                return place
        return -1

    def __call__(self, function: _F) -> _F:
        """Record each call of a function."""
        return record_calls(self, function)

    def scope_of(self, function: Any, args: Any, kwargs: Any) -> Scope:
        """Open a scope for a call of a decorated function."""
        given = self._input
        if given is None:
            given = _bind_arguments(function, args, kwargs)
        scope = Scope(self._agent, self._thread_id, given)
        scope.open(getattr(function, "__name__", "call"))
        return scope


def _bind_arguments(function: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    try:
        return dict(inspect.signature(function).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        return {"args": list(args), **kwargs}


class EntryScopes:
    """Opens the scopes of one entry point of a custom runnable."""

    def __init__(self, agent: Agent, name: str) -> None:
        self._agent, self._name = agent, name

    def scope_of(self, function: Any, args: Any, kwargs: Any) -> Scope:
        """Open a scope for a call of the entry point."""
        runnable, *given = args
        asked = given[0] if given else kwargs.get("input", kwargs.get("inputs"))
        config = given[1] if len(given) > 1 else kwargs.get("config")
        config = config if isinstance(config, Mapping) else {}
        thread = (config.get("configurable") or {}).get("thread_id")
        scope = Scope(
            self._agent,
            None if thread is None else text_of_value(thread),
            None if self._name.endswith("transform") else resume.readable_input(asked),
            tags=tuple(config.get("tags") or ()),
            metadata=own_metadata(config.get("metadata")),
            operation=operation_of(runnable),
        )
        scope.open(f"{self._name} {type(runnable).__name__}", of=runnable)
        return scope


__all__ = ["EntryScopes", "Scope", "trace"]
