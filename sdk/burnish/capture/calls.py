"""Nodes, model calls and tools inside a trajectory: which event each start and end makes.

Knows: the facts of each kind of run. Does not know: how callbacks arrive, how a trajectory ends.
"""

from __future__ import annotations

import time
from typing import Any

from burnish.capture.content import Blobs
from burnish.capture.live import Run, partial_text, registry
from burnish.capture.messages import said
from burnish.capture.replies import Reply, read_reply
from burnish.capture.requests import own_metadata, own_tags, read_request
from burnish.journal.events import (
    ModelEnded,
    ModelStarted,
    NodeEnded,
    NodeStarted,
    Ref,
    ToolEnded,
    ToolStarted,
)

TOKENS = ("prompt_token_ids", "token_ids", "logprobs")
_SPAN_BITS = (1 << 64) - 1


def _span_of(run_id: Any) -> str:
    return f"{run_id.int & _SPAN_BITS:016x}"


def _open(parent: Run, run_id: Any, kind: str, metadata: dict[str, Any]) -> Run:
    """A run below its parent, placed where its metadata says."""
    if parent.key == run_id:  # the wrapped runnable is itself a model or a tool
        span = f"{(run_id.int >> 64) & _SPAN_BITS ^ (run_id.int & _SPAN_BITS):016x}"
    else:
        span = _span_of(run_id)
    run = Run(parent.trajectory, parent, kind, span)
    if "langgraph_node" in metadata:
        run.node = metadata["langgraph_node"]
        run.step = metadata.get("langgraph_step")
        run.namespace = metadata.get("langgraph_checkpoint_ns")
    named = metadata.get("lc_agent_name")
    if named is not None and named != run.agent_name:
        run.agent_name = run.speaker = named
    return run


def start_node(parent: Run, run_id: Any, about: dict[str, Any]) -> None:
    """A node, a sub-graph, a nested agent or another runnable starts."""
    metadata = about.get("metadata") or {}
    run = _open(parent, run_id, "node", metadata)
    run.name = name = about.get("name") or "runnable"
    nested = registry.expected.pop(run_id, None) if registry.expected else None
    if nested is not None:
        run.name = name = run.speaker = nested
    elif parent.kind == "node" and _is_node(about):
        run.speaker = _speaker_of_graph(parent)
    run.attempt = parent.attempt - 1 + parent.count_try((name, run.namespace))
    registry.add(run, run_id)
    run.trajectory.waiting.append(
        NodeStarted(
            at=time.time_ns(),
            trajectory=run.trajectory.id,
            span=run.span,
            parent=parent.span,
            name=name,
            node=run.node,
            step=run.step,
            namespace=run.namespace,
            attempt=run.attempt,
            speaker=run.speaker,
        )
    )


def _is_node(about: dict[str, Any]) -> bool:
    """Whether the run is a node of a graph, so that its parent is that graph."""
    return any(tag.startswith("graph:step") for tag in about.get("tags") or ())


def _speaker_of_graph(graph: Run) -> str | None:
    """Who speaks inside a graph that runs in a node of another."""
    above = graph.parent
    if above is None or graph.speaker != above.speaker:
        return graph.speaker  # it has said so itself
    return graph.node if graph.name == "LangGraph" else graph.name


def end_node(run: Run, error: BaseException | None) -> None:
    """It returned, raised, or was left by control flow."""
    bubbled = None
    name = words = None
    if error is not None:
        if is_control_flow(error):
            bubbled = type(error).__name__
        else:
            name, words = run.trajectory.describe(error)
        run.trajectory.close_below(run, error)
    if not registry.remove(run):
        return
    run.trajectory.waiting.append(
        NodeEnded(
            at=time.time_ns(),
            trajectory=run.trajectory.id,
            span=run.span,
            error_type=name,
            error=words,
            bubbled=bubbled,
        )
    )


def start_model(parent: Run, run_id: Any, messages: list[Any], about: dict[str, Any]) -> None:
    """A chat model is asked."""
    content = parent.trajectory.content
    refs, blobs = content.messages(messages)
    _start_model(parent, run_id, refs, blobs, about)


def start_completion(parent: Run, run_id: Any, prompt: str, about: dict[str, Any]) -> None:
    """A completion model is asked; its prompt is kept as one user message."""
    message = {"role": "user", "parts": [{"type": "text", "content": prompt}], "class": "prompt"}
    ref, blob = parent.trajectory.content.value(message)
    _start_model(parent, run_id, [ref], {ref: blob}, about)


def _start_model(
    parent: Run, run_id: Any, refs: list[Ref], blobs: Blobs, about: dict[str, Any]
) -> None:
    metadata = about.get("metadata") or {}
    trajectory = parent.trajectory
    run = _open(parent, run_id, "model", metadata)
    tools, request, model = trajectory.content.once(
        about.get("invocation_params") or {}, lambda given: _stored_request(trajectory, given)
    )
    _store(blobs, tools, request)
    extras = _extras(run, run_id, about)
    if extras is not None:
        blobs[extras[0]] = extras[1]
    run.redacted = trajectory.content.redacted(blobs)
    run.retry_key = tuple(refs)
    run.attempt = parent.attempt + parent.tries(run.retry_key)
    registry.add(run, run_id)
    trajectory.send(
        ModelStarted(
            at=time.time_ns(),
            trajectory=trajectory.id,
            span=run.span,
            parent=parent.span,
            messages=refs,
            tools=tools and tools[0],
            request=request and request[0],
            model=model or metadata.get("ls_model_name"),
            provider=metadata.get("ls_provider"),
            node=run.node,
            step=run.step,
            namespace=run.namespace,
            speaker=run.speaker,
            attempt=run.attempt,
            extras=extras and extras[0],
            redacted=run.redacted,
        ),
        blobs,
    )


def _stored_request(trajectory: Any, given: dict[str, Any]) -> tuple[Any, Any, str | None]:
    request = read_request(given)
    value = trajectory.content.value
    tools = value(request.tools) if request.tools else None
    parameters = value(request.parameters) if request.parameters else None
    return tools, parameters, request.model


def _store(blobs: Blobs, *stored: tuple[Ref, bytes] | None) -> None:
    for item in stored:
        if item is not None:
            blobs[item[0]] = item[1]


def _extras(run: Run, run_id: Any, about: dict[str, Any]) -> tuple[Ref, bytes] | None:
    extras: dict[str, Any] = {"run_id": str(run_id)}
    tags, metadata = own_tags(about.get("tags")), own_metadata(about.get("metadata"))
    if tags:
        extras["tags"] = tags
    if metadata:
        extras["metadata"] = metadata
    options = about.get("options")
    if options and len(options) > 1:
        structured = options.get("ls_structured_output_format")
        if structured:
            extras["structured_output"] = structured
    return run.trajectory.content.value(extras)


def _failed(run: Run) -> None:
    """A next start of the same thing will be its next try."""
    if run.parent is not None and run.retry_key is not None:
        run.parent.count_try(run.retry_key)


def _close_bare(run: Run, status: str) -> None:
    """Where the wrapped runnable was itself this model or tool, the trajectory is over."""
    root = run.trajectory.root
    if run.parent is root and root.key == run.key:
        registry.end(run.trajectory, status)


def end_model(run: Run, result: Any) -> None:
    """A model answered."""
    if not registry.remove(run):
        return
    trajectory = run.trajectory
    content = trajectory.content
    reply = read_reply(result)
    blobs: Blobs = {}
    ref = extras = None
    if reply.message is not None:
        ref, blobs_of = content.message(reply.message)
        blobs[ref] = blobs_of
        trajectory.last_reply = said(reply.message)
    elif reply.text is not None:
        ref, blob = content.value(
            {"role": "assistant", "parts": [{"type": "text", "content": reply.text}]}
        )
        blobs[ref] = blob
        trajectory.last_reply = reply.text
    facts = reply.facts
    redacted = run.redacted or content.redacted(blobs)
    if redacted:
        facts, reply = _without_tokens(reply)
    if reply.extras:
        extras, blob = content.value(reply.extras)
        blobs[extras] = blob
    trajectory.send(
        ModelEnded(
            at=time.time_ns(),
            trajectory=trajectory.id,
            span=run.span,
            reply=ref,
            first_token_at=run.first_token_at,
            extras=extras,
            redacted=redacted,
            **facts,
        ),
        blobs,
    )
    _close_bare(run, "completed")


def _without_tokens(reply: Reply) -> tuple[dict[str, Any], Reply]:
    """Token ids are the text in another spelling: they go with what was replaced in it."""
    facts = {name: value for name, value in reply.facts.items() if name not in TOKENS}
    extras = {name: value for name, value in reply.extras.items() if name not in TOKENS}
    return facts, reply._replace(extras=extras)


def fail_model(run: Run, error: BaseException) -> None:
    """A model failed, or its stream was left."""
    _failed(run)
    if not registry.remove(run):
        return
    trajectory = run.trajectory
    name, words = run.trajectory.describe(error)
    blobs: Blobs = {}
    extras = None
    partial = partial_text(run.chunks)
    if partial:
        extras, blob = trajectory.content.value({"partial": partial})
        blobs[extras] = blob
    left = isinstance(error, GeneratorExit)
    trajectory.send(
        ModelEnded(
            at=time.time_ns(),
            trajectory=trajectory.id,
            span=run.span,
            error_type=None if left else name,
            error=None if left else words,
            cut=left,
            first_token_at=run.first_token_at,
            extras=extras,
        ),
        blobs,
    )
    _close_bare(run, "failed")


def start_tool(
    parent: Run, run_id: Any, serialized: Any, input_str: str, about: dict[str, Any]
) -> None:
    """A tool is called."""
    trajectory = parent.trajectory
    run = _open(parent, run_id, "tool", about.get("metadata") or {})
    call_id = about.get("tool_call_id")
    inputs = about.get("inputs")
    ref, blob = trajectory.content.value(inputs if inputs is not None else input_str)
    blobs: Blobs = {ref: blob}
    extras = _extras(run, run_id, about)
    if extras is not None:
        blobs[extras[0]] = extras[1]
    if call_id is None:
        run.retry_key = ref
        run.attempt = parent.attempt + parent.tries(ref)
    else:
        run.attempt = max(parent.attempt, trajectory.root.count_try(call_id))
    registry.add(run, run_id)
    trajectory.send(
        ToolStarted(
            at=time.time_ns(),
            trajectory=trajectory.id,
            span=run.span,
            parent=parent.span,
            name=about.get("name") or (serialized or {}).get("name") or "tool",
            call_id=call_id,
            arguments=ref,
            raw_arguments=trajectory.raw_arguments.get(call_id) if call_id else None,
            redacted=trajectory.content.redacted(blobs),
            node=run.node,
            step=run.step,
            namespace=run.namespace,
            speaker=run.speaker,
            attempt=run.attempt,
            extras=extras and extras[0],
        ),
        blobs,
    )


def end_tool(run: Run, output: Any) -> None:
    """A tool returned."""
    if not registry.remove(run):
        return
    trajectory = run.trajectory
    result, is_error = _result(output)
    ref, blob = trajectory.content.value(result)
    trajectory.send(
        ToolEnded(
            at=time.time_ns(),
            trajectory=trajectory.id,
            span=run.span,
            result=ref,
            is_error=is_error,
            redacted=trajectory.content.redacted({ref: blob}),
        ),
        {ref: blob},
    )
    _close_bare(run, "completed")


def _result(output: Any) -> tuple[dict[str, Any], bool]:
    """What a tool gave back, from the message that LangChain made of it or as it is."""
    fields = getattr(output, "__dict__", {})
    if fields.get("type") != "tool" or "tool_call_id" not in fields:
        return {"response": output}, False
    result: dict[str, Any] = {"response": fields["content"]}
    if fields.get("artifact") is not None:
        result["artifact"] = fields["artifact"]
    is_error = fields.get("status") == "error"
    if is_error:
        result["status"] = "error"
    return result, is_error


def fail_tool(run: Run, error: BaseException) -> None:
    """A tool raised, or control flow left through it."""
    run.trajectory.close_below(run, error)
    _failed(run)
    if not registry.remove(run):
        return
    bubbled = type(error).__name__ if is_control_flow(error) else None
    name, words = (None, None) if bubbled else run.trajectory.describe(error)
    run.trajectory.send(
        ToolEnded(
            at=time.time_ns(),
            trajectory=run.trajectory.id,
            span=run.span,
            is_error=bubbled is None,
            error_type=name,
            error=words,
            bubbled=bubbled,
        )
    )
    _close_bare(run, "failed")


def is_control_flow(error: BaseException) -> bool:
    """Whether a graph uses this exception to go elsewhere: an interrupt or a hand-off."""
    return any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__)
