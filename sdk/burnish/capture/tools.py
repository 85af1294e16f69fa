"""Runs of tools. Knows: what LangChain says about them. Does not know: who called them."""

from __future__ import annotations

import time
from typing import Any

from burnish.capture import propagation
from burnish.capture.content import Blobs
from burnish.capture.live import Run, registry
from burnish.capture.placing import (
    close_bare,
    closes,
    describe_run,
    fail,
    is_control_flow,
    open_run,
    run_id_of,
)
from burnish.journal.events import ToolEnded, ToolStarted


def start_tool(
    parent: Run, key: int, serialized: Any, input_str: str, about: dict[str, Any]
) -> None:
    """A tool is called."""
    trajectory = parent.trajectory
    run = open_run(parent, key, "tool", about.get("metadata") or {})
    place = run.place
    call_id = about.get("tool_call_id")
    inputs = about.get("inputs")
    ref, blob = trajectory.content.value(inputs if inputs is not None else input_str)
    blobs: Blobs = {ref: blob}
    extras = describe_run(run, about)
    if extras is not None:
        blobs[extras[0]] = extras[1]
    if call_id is None:
        run.retry_key = ref
        run.attempt = parent.attempt + parent.tries(ref)
    else:
        run.attempt = max(parent.attempt, trajectory.root.count_try(call_id))
    registry.add(run)
    trajectory.send(
        ToolStarted(
            at=time.time_ns(),
            trajectory=trajectory.id,
            span=run.span,
            parent=parent.span,
            run_id=run_id_of(key),
            name=about.get("name") or (serialized or {}).get("name") or "tool",
            call_id=call_id,
            arguments=ref,
            raw_arguments=trajectory.raw_arguments.get(call_id) if call_id else None,
            redacted=trajectory.content.redacted(blobs),
            node=place.node,
            step=place.step,
            namespace=place.namespace,
            speaker=run.speaker,
            attempt=run.attempt,
            extras=extras and extras[0],
            operation=about.get("operation", "execute_tool"),
        ),
        blobs,
    )
    propagation.enter(run)


def end_tool(run: Run, output: Any) -> None:
    """A tool returned."""
    propagation.leave(run)
    _end(run, output)


@closes
def _end(run: Run, output: Any) -> None:
    trajectory = run.trajectory
    result, is_error = _result(output)
    ref, blob = trajectory.content.sharing(result)
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
    close_bare(run, "completed")


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
    propagation.leave(run)
    _fail(run, error)


@closes
def _fail(run: Run, error: BaseException) -> None:
    fail(run, error)
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
    close_bare(run, "failed")
