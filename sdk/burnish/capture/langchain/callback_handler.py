"""Convert LangChain's callbacks to recorded runs.

`Callbacks` opens and closes a run for each callback. `invocation` starts trajectories, and the
recorder's sink stores events.

How it works: one handler per process is registered with LangChain and runs inline. It observes
only: each entry point catches its own errors, counts them and returns, so a fault in capture does
not reach the agent.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from burnish.capture import faults
from burnish.capture.faults import guarded
from burnish.capture.langchain.completion import close_root
from burnish.capture.langchain.models import end_model, fail_model, start_completion, start_model
from burnish.capture.langchain.nodes import end_node, fail_node, start_node
from burnish.capture.langchain.pending_runs import awaited
from burnish.capture.langchain.retrievers import end_retrieval, start_retrieval
from burnish.capture.langchain.tools import end_tool, fail_tool, start_tool
from burnish.capture.patches import completion_start, openai_tap, streaming_check
from burnish.capture.recorder.context import innermost, scope, suppressed
from burnish.capture.recorder.runs import Run, registry

# The registry's keys are the ids' integers: they hash without a call into uuid.
_runs = registry.runs
_HIDDEN = "langsmith:hidden"
_adopters: list[Callable[[int], Run | None]] = []


def _find_parent(key: int, parent_run_id: Any) -> Run | None:
    """Return the captured run that a new run belongs to; None if the new run is not recorded."""
    if suppressed.get():
        return None
    if parent_run_id is not None:
        parent = _runs.get(parent_run_id.int)
        if parent is not None:
            inner = scope.get()
            return parent if inner is None else innermost(parent, inner)
    known = _runs.get(key)  # the root of a trajectory, registered before it started
    if known is not None:
        return known
    joined = scope.get()
    if joined is not None and parent_run_id is None and not joined.trajectory.ended:
        return joined
    return _start_uninvited(key, parent_run_id)


def on_uninvited(adopt: Callable[[int], Run | None]) -> Callable[[int], Run | None]:
    """Set the function that decides whether a run without a captured ancestor starts a trajectory."""
    _adopters.append(adopt)
    return adopt


def _start_uninvited(key: int, parent_run_id: Any) -> Run | None:
    """Handle a run without a captured ancestor: count and ignore it, or start a trajectory."""
    for adopt in _adopters if parent_run_id is None else ():
        adopted = adopt(key)
        if adopted is not None:
            return adopted
    faults.count("ignored_runs")
    return None


class Callbacks:
    """The callbacks that burnish uses, under LangChain's names.

    Callbacks of every run contain their own try block, because a wrapper around each would cost as
    much as some of them do. All are static: for each event LangChain checks whether the callback is
    a coroutine function, which takes longer for a bound method. They name the arguments that
    LangChain always passes, also unused ones: Python compares any other with each parameter.
    """

    run_inline = True
    # Attributes, because LangChain's own are properties that run for each event.
    ignore_llm = ignore_chat_model = ignore_chain = ignore_agent = ignore_retriever = False
    ignore_retry = ignore_custom_event = True

    @property
    def raise_error(self) -> bool:
        """Return whether faults of capture are raised: in tests only."""
        return faults.raises_faults()

    @staticmethod
    def on_chain_start(
        serialized: Any,
        inputs: Any,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        """Record that a graph, a node or another runnable started."""
        try:
            key = run_id.int
            here = awaited.get()
            if here is not None and here.input is inputs:
                awaited.set(here.outer)
                here.start(key)
            parent = _find_parent(key, parent_run_id)
            if parent is None or parent.key == key:
                return
            if tags and _HIDDEN in tags:
                registry.alias(parent, key)
            else:
                start_node(parent, key, name or "runnable", tags, metadata or {})
        except Exception as fault:  # noqa: BLE001 - a fault in capture must not reach the agent
            faults.report("on_chain_start", fault)

    @staticmethod
    def on_chain_end(
        outputs: Any, *, run_id: Any, parent_run_id: Any = None, tags: Any = None, **_: Any
    ) -> None:
        """Record that it returned."""
        try:
            key = run_id.int
            run = _runs.get(key)
            if run is None:
                return
            if run.key != key:
                registry.drop_alias(run, key)
            elif run.parent is None:
                close_root(run, outputs)
            else:
                end_node(run)
        except Exception as fault:  # noqa: BLE001
            faults.report("on_chain_end", fault)

    @staticmethod
    @guarded
    def on_chain_error(error: BaseException, *, run_id: Any, **_: Any) -> None:
        """Record that it raised, or that control flow left through it."""
        run = _runs.get(run_id.int)
        if run is None:
            return
        if run.key != run_id.int:
            registry.drop_alias(run, run_id.int)
        elif run.parent is None:
            close_root(run, None, error)
        else:
            fail_node(run, error)

    @staticmethod
    def on_chat_model_start(
        serialized: Any,
        messages: list[list[Any]],
        *,
        run_id: Any,
        parent_run_id: Any = None,
        metadata: dict[str, Any] | None = None,
        invocation_params: Mapping[str, Any] | None = None,
        **about: Any,
    ) -> None:
        """Record a call of a chat model."""
        try:
            key = run_id.int
            parent = _find_parent(key, parent_run_id)
            if parent is not None:
                start_model(parent, key, messages[0], metadata, invocation_params, about)
        except Exception as fault:  # noqa: BLE001
            faults.report("on_chat_model_start", fault)

    @staticmethod
    @guarded
    def on_llm_start(
        serialized: Any,
        prompts: list[str],
        *,
        run_id: Any,
        parent_run_id: Any = None,
        metadata: dict[str, Any] | None = None,
        invocation_params: Mapping[str, Any] | None = None,
        **about: Any,
    ) -> None:
        """Record a call of a completion model."""
        key = run_id.int
        parent = _find_parent(key, parent_run_id)
        if parent is not None:
            start_completion(parent, key, prompts[0], metadata, invocation_params, about)

    @staticmethod
    def on_llm_new_token(token: Any, *, chunk: Any = None, run_id: Any, **_: Any) -> None:
        """Record a streamed chunk of a model."""
        try:
            run = _runs.get(run_id.int)
            if run is None or run.kind != "model":
                return
            if run.chunks is None:
                run.first_token_at = time.time_ns()
                run.chunks = []
            run.chunks.append(token)
            said = openai_tap.take(chunk) if chunk is not None else None
            if said is not None:
                if run.wire is None:
                    run.wire = []
                run.wire.append(said)
        except Exception as fault:  # noqa: BLE001
            faults.report("on_llm_new_token", fault)

    @staticmethod
    def on_llm_end(
        response: Any, *, run_id: Any, parent_run_id: Any = None, tags: Any = None, **_: Any
    ) -> None:
        """Record the answer of a model."""
        try:
            run = _runs.get(run_id.int)
            if run is not None and run.kind == "model":
                end_model(run, response)
        except Exception as fault:  # noqa: BLE001
            faults.report("on_llm_end", fault)

    @staticmethod
    @guarded
    def on_llm_error(error: BaseException, *, run_id: Any, **_: Any) -> None:
        """Record the failure of a model."""
        run = _runs.get(run_id.int)
        if run is not None and run.kind == "model":
            fail_model(run, error)

    @staticmethod
    def on_tool_start(
        serialized: Any,
        input_str: str,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: Any = None,
        **about: Any,
    ) -> None:
        """Record a tool call."""
        try:
            key = run_id.int
            parent = _find_parent(key, parent_run_id)
            if parent is not None:
                start_tool(
                    parent,
                    key,
                    about.get("name") or (serialized or {}).get("name") or "tool",
                    input_str if inputs is None else inputs,
                    call_id=about.get("tool_call_id"),
                    tags=tags,
                    metadata=metadata,
                )
        except Exception as fault:  # noqa: BLE001
            faults.report("on_tool_start", fault)

    @staticmethod
    def on_tool_end(
        output: Any, *, run_id: Any, parent_run_id: Any = None, tags: Any = None, **_: Any
    ) -> None:
        """Record the result of a tool."""
        try:
            run = _runs.get(run_id.int)
            if run is not None and run.kind == "tool":
                end_tool(run, output)
        except Exception as fault:  # noqa: BLE001
            faults.report("on_tool_end", fault)

    @staticmethod
    @guarded
    def on_tool_error(error: BaseException, *, run_id: Any, **_: Any) -> None:
        """Record the error of a tool."""
        run = _runs.get(run_id.int)
        if run is not None and run.kind == "tool":
            fail_tool(run, error)

    @staticmethod
    @guarded
    def on_retriever_start(
        serialized: Any,
        query: str,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        **about: Any,
    ) -> None:
        """Record a retrieval as a tool call of the graph itself."""
        key = run_id.int
        parent = _find_parent(key, parent_run_id)
        if parent is not None:
            name = about.get("name") or (serialized or {}).get("name")
            start_retrieval(parent, key, name, query, about)

    @staticmethod
    @guarded
    def on_retriever_end(documents: Any, *, run_id: Any, **_: Any) -> None:
        """Record the documents of a retriever."""
        run = _runs.get(run_id.int)
        if run is not None and run.kind == "tool":
            end_retrieval(run, documents)

    @staticmethod
    @guarded
    def on_retriever_error(error: BaseException, *, run_id: Any, **_: Any) -> None:
        """Record the error of a retriever."""
        run = _runs.get(run_id.int)
        if run is not None and run.kind == "tool":
            fail_tool(run, error)

    @staticmethod
    @guarded
    def on_interrupt(event: Any) -> None:
        """Record that a graph pauses and waits for an answer."""
        run = None if event.run_id is None else _runs.get(event.run_id.int)
        if run is not None and run.parent is None:
            run.trajectory.interrupts += [waiting.id for waiting in event.interrupts]


@functools.cache
def shared_handler() -> Any:
    """Return the handler of this process; the first call registers it with langchain-core."""
    from langchain_core.tracers.context import register_configure_hook
    from langgraph.callbacks import GraphCallbackHandler

    class Handler(Callbacks, GraphCallbackHandler):  # pyright: ignore[reportIncompatibleVariableOverride, reportIncompatibleMethodOverride]
        """Callbacks of graphs and of all runs inside them."""

    made = Handler()
    completion_start.install(made)
    streaming_check.exempt(made)
    # A default instead of a set value: threads without our context have it too.
    register_configure_hook(ContextVar("burnish_handler", default=made), inheritable=True)
    return made
