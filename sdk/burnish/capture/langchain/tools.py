"""Convert LangChain's tool callbacks to recorded tool runs."""

from __future__ import annotations

from typing import Any

from burnish.capture.langchain.run_lifecycle import (
    about_run,
    close_bare,
    closes,
    is_control_flow,
    open_run,
    run_id_of,
)
from burnish.capture.patches import propagation
from burnish.capture.recorder.calls import fail_tool_run, finish_tool_run, start_tool_run
from burnish.capture.recorder.requests import ToolReply, ToolRequest
from burnish.capture.recorder.runs import Run


def start_tool(
    parent: Run,
    key: int,
    name: str,
    arguments: Any,
    *,
    call_id: Any = None,
    tags: list[str] | None = None,
    metadata: dict[str, Any] | None = None,
    operation: str = "execute_tool",
) -> None:
    """Record a tool call."""
    run = open_run(parent, key, "tool", metadata or {})
    request = ToolRequest(
        name=name,
        arguments=arguments,
        call_id=call_id,
        run_id=run_id_of(key),
        about=about_run(tags, metadata),
        operation=operation,
    )
    start_tool_run(run, request)
    propagation.enter(run)


def end_tool(run: Run, output: Any) -> None:
    """Record the result of a tool."""
    propagation.leave(run)
    _end_call(run, output)


@closes
def _end_call(run: Run, output: Any) -> None:
    finish_tool_run(run, _reply_of(output))
    close_bare(run, "completed")


def _reply_of(output: Any) -> ToolReply:
    """Read a tool's result, from the message that LangChain made of it or from the value itself."""
    fields = getattr(output, "__dict__", {})
    if fields.get("type") != "tool" or "tool_call_id" not in fields:
        return ToolReply(result={"response": output})
    result: dict[str, Any] = {"response": fields["content"]}
    if fields.get("artifact") is not None:
        result["artifact"] = fields["artifact"]
    is_error = fields.get("status") == "error"
    if is_error:
        result["status"] = "error"
    return ToolReply(result=result, is_error=is_error)


def fail_tool(run: Run, error: BaseException) -> None:
    """Record that a tool raised, or that control flow left through it."""
    propagation.leave(run)
    _fail_call(run, error)


@closes
def _fail_call(run: Run, error: BaseException) -> None:
    bubbled = type(error).__name__ if is_control_flow(error) else None
    fail_tool_run(run, error, bubbled=bubbled)
    close_bare(run, "failed")
