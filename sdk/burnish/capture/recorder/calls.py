"""Record the start, end and failure of each run inside a trajectory.

The sources open a `Run` and call `start_...`, then one of `finish_...`, `fail_...`. Only this
module shares and redacts content, numbers retries, and drops token ids of a redacted text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.capture.content.derived_text import without_spelling
from burnish.capture.content.jsonable import to_plain
from burnish.capture.content.shared_content import Blobs
from burnish.capture.recorder.requests import (
    TOKENS,
    ModelReply,
    ModelRequest,
    RunRequest,
    ToolReply,
    ToolRequest,
)
from burnish.capture.recorder.runs import LiveTrajectory, Run, describe_error, registry
from burnish.journal.events import (
    ModelEnded,
    ModelStarted,
    NodeEnded,
    NodeStarted,
    RunStarted,
    ToolEnded,
    ToolStarted,
)


def start_run(trajectory: LiveTrajectory, request: RunRequest) -> None:
    """Record that an agent was invoked."""
    content = trajectory.content
    ref, blob = content.value(request.input)
    blobs: Blobs = {ref: blob}
    about = None
    if request.metadata:
        about, blob = content.value(request.metadata)
        blobs[about] = blob
    trajectory.send(
        RunStarted(
            at=trajectory.clock(),
            trajectory=trajectory.id,
            span=trajectory.root.span,
            trace=request.trace or trajectory.id,
            agent=trajectory.agent,
            parent=request.parent,
            thread_id=trajectory.thread_id,
            resumed=request.resumed,
            tags=list(request.tags),
            metadata=about,
            input=ref,
            entry=request.entry,
            operation=request.operation,
            **request.task,
        ),
        blobs,
    )


def start_node(run: Run, name: str) -> None:
    """Record the start of a node, a sub-graph or a nested agent, with known place and speaker."""
    run.name = name
    place, parent = run.place, run.parent
    if parent is None or place.namespace != parent.place.namespace:
        run.number_execution((name, place.namespace))  # a graph identifies each execution of a node
    else:
        run.number_try(name)
    registry.add(run)
    trajectory = run.trajectory
    trajectory.wait(
        NodeStarted(
            at=trajectory.clock(),
            trajectory=trajectory.id,
            span=run.span,
            parent=parent and parent.span,
            name=name,
            node=place.node,
            step=place.step,
            namespace=place.namespace,
            attempt=run.attempt,
            speaker=run.speaker,
        )
    )


def finish_node(run: Run) -> None:
    """Record that a node returned."""
    trajectory = run.trajectory
    trajectory.wait(NodeEnded(at=trajectory.clock(), trajectory=trajectory.id, span=run.span))


def fail_node(run: Run, error: BaseException, *, bubbled: str | None = None) -> None:
    """Record that a node raised; `bubbled` names a control-flow exception."""
    _close_failed(run, error, bubbled)
    name, words = (None, None) if bubbled else describe_error(error)
    run.trajectory.end_run(run, error_type=name, error=words, bubbled=bubbled)


def start_model_call(run: Run, request: ModelRequest) -> None:
    """Record a call of a chat model."""
    trajectory = run.trajectory
    content = trajectory.content
    if request.langchain:
        refs, sent = content.messages(request.messages)
    else:
        refs, sent = content.encoded(request.messages)
    asked = content.request(request.parameters)
    blobs = sent | asked.blobs
    tools, about = asked.tools, None
    if request.tools:
        tools, blobs[tools] = content.seen(request.tools)
    if request.about:
        about, blobs[about] = content.value(request.about)
    run.number_try(tuple(refs))
    registry.add(run)
    parent, place = run.parent, run.place
    kept = trajectory.send(
        ModelStarted(
            at=trajectory.clock(),
            trajectory=trajectory.id,
            span=run.span,
            parent=parent and parent.span,
            run_id=request.run_id,
            messages=refs,
            tools=tools,
            request=asked.parameters,
            model=asked.model or request.model,
            provider=request.provider,
            node=place.node,
            step=place.step,
            namespace=place.namespace,
            speaker=run.speaker,
            attempt=run.attempt,
            extras=about,
            prompt=trajectory.find_prompt(run.speaker) if trajectory.prompts else None,
        ),
        blobs,
    )
    if kept.redacted:
        run.redacted = True


def finish_model_call(run: Run, reply: ModelReply) -> None:
    """Record the answer of a model."""
    trajectory = run.trajectory
    content = trajectory.content
    blobs: Blobs = {}
    ref = None
    if reply.original is not None:
        # in the form in which the next call will send it
        ref, blob = content.message(reply.original)
        if reply.message is None:
            blobs[ref] = blob
    if reply.message is not None:
        ref, blob = content.sharing(reply.message)
        blobs[ref] = blob
    if reply.text is not None:
        trajectory.last_reply = reply.text
    trajectory.awaits_tools = _makes_calls(reply)
    _end_model(run, ref, blobs, reply)


def _makes_calls(reply: ModelReply) -> bool:
    """Return whether a reply calls a tool, so that the run continues."""
    if reply.original is not None:
        fields = getattr(reply.original, "__dict__", {})
        return bool(fields.get("tool_calls") or fields.get("invalid_tool_calls"))
    parts = (reply.message or {}).get("parts") or ()
    return any(
        isinstance(part, dict) and str(part.get("type")).endswith("tool_call") for part in parts
    )


def _end_model(
    run: Run,
    ref: bytes | None,
    blobs: Blobs,
    reply: ModelReply,
    failure: Mapping[str, Any] = {},
) -> None:
    """End a model call; drop token ids and log-probabilities if its text was redacted."""
    trajectory = run.trajectory
    content = trajectory.content
    facts, extras = reply.facts, reply.extras
    redacted = run.redacted or content.redacted(blobs)
    if redacted:
        facts = {name: value for name, value in facts.items() if name not in TOKENS}
        extras = extras and without_spelling(to_plain(extras))
    named = None
    if extras:
        named, blobs[named] = content.value(extras)
    fields: dict[str, Any] = {"first_token_at": run.first_token_at, **facts, **failure}
    trajectory.send(
        ModelEnded(
            at=trajectory.clock(),
            trajectory=trajectory.id,
            span=run.span,
            reply=ref,
            extras=named,
            redacted=redacted,
            **fields,
        ),
        blobs,
    )


def fail_model_call(
    run: Run, error: BaseException, reply: ModelReply | None = None, **facts: Any
) -> None:
    """Record that a model failed, or that its stream was left.

    Args:
        run: The call.
        error: The raised error; a GeneratorExit means that the stream was left.
        reply: The partial answer.
        **facts: Further fields of the end: adapter and arm of a routed call.
    """
    _close_failed(run, error)
    left = isinstance(error, GeneratorExit)
    name, words = (None, None) if left else describe_error(error)
    failure = {"error_type": name, "error": words, "cut": left}
    if reply is not None:
        blobs: Blobs = {}
        ref = None
        if reply.message is not None:
            ref, blob = run.trajectory.content.sharing(reply.message)
            blobs[ref] = blob
            run.trajectory.last_reply = reply.text
        _end_model(run, ref, blobs, reply, {**facts, **failure})
        return
    blobs = {}
    partial = run.trajectory.partial_of(run, blobs)
    run.trajectory.end_run(run, blobs, **partial, **failure, **facts)


def start_tool_run(run: Run, request: ToolRequest) -> None:
    """Record a tool call."""
    trajectory = run.trajectory
    content = trajectory.content
    ref, blob = content.value(request.arguments)
    blobs: Blobs = {ref: blob}
    about = content.value(request.about) if request.about else None
    if about is not None:
        blobs[about[0]] = about[1]
    call_id, raw, parent = request.call_id, request.raw_arguments, run.parent
    if call_id is None or parent is None or type(call_id).__hash__ is None:
        run.number_try((request.name, ref))
    else:  # a graph may run the node of a call again: each start of the call is a try
        # Ids are unique only within a message: another call with the same id is not a retry.
        run.attempt = max(parent.attempt, trajectory.root.count_try((call_id, request.name, ref)))
        raw = trajectory.raw_arguments.get(call_id) if raw is None else raw
    registry.add(run)
    place = run.place
    trajectory.send(
        ToolStarted(
            at=trajectory.clock(),
            trajectory=trajectory.id,
            span=run.span,
            parent=parent and parent.span,
            run_id=request.run_id,
            name=request.name,
            call_id=call_id,
            arguments=ref,
            raw_arguments=raw,
            node=place.node,
            step=place.step,
            namespace=place.namespace,
            speaker=run.speaker,
            attempt=run.attempt,
            extras=about and about[0],
            operation=request.operation,
        ),
        blobs,
    )


def finish_tool_run(run: Run, reply: ToolReply, **failure: Any) -> None:
    """Record that a tool returned; `failure` names an error that it reported in its result."""
    blobs: Blobs = {}
    ref = None
    trajectory = run.trajectory
    if reply.result is not None:
        ref, blobs[ref] = trajectory.content.sharing(reply.result)
    trajectory.send(
        ToolEnded(
            at=trajectory.clock(),
            trajectory=trajectory.id,
            span=run.span,
            result=ref,
            is_error=reply.is_error,
            **failure,
        ),
        blobs,
    )


def fail_tool_run(
    run: Run,
    error: BaseException,
    reply: ToolReply | None = None,
    *,
    bubbled: str | None = None,
) -> None:
    """Record that a tool raised, or that control flow left through it."""
    _close_failed(run, error, bubbled)
    blobs: Blobs = {}
    ref = None
    if reply is not None and reply.result is not None:
        ref, blob = run.trajectory.content.sharing(reply.result)
        blobs[ref] = blob
    name, words = (None, None) if bubbled else describe_error(error)
    run.trajectory.end_run(
        run,
        blobs,
        result=ref,
        is_error=bubbled is None,
        error_type=name,
        error=words,
        bubbled=bubbled,
    )


def _close_failed(run: Run, error: BaseException, bubbled: str | None = None) -> None:
    """Close the open runs below a failed run; the next start of the same thing is its next try."""
    run.trajectory.close_below(run, error)
    if bubbled is None:
        run.failed()
