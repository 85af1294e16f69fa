"""Determine the status and the answer of an ended trajectory.

`status_of` classifies exceptions, `answer_of` reads outputs. Verifiers decide whether the answer is
correct.
"""

from __future__ import annotations

import asyncio
from typing import Any

from burnish.capture.content.jsonable import to_plain
from burnish.capture.content.message_codec import said
from burnish.capture.langchain.run_lifecycle import is_control_flow
from burnish.capture.recorder.runs import Run, registry
from burnish.journal.events import ordered_json

_INTERRUPT = "__interrupt__"


def close_root(run: Run, output: Any, error: BaseException | None = None) -> None:
    """End the trajectory of a root run that returned or raised."""
    trajectory = run.trajectory
    if error is not None:
        registry.end(trajectory, status_of(error), error=error)
        return
    answer = answer_of(output)
    if isinstance(output, dict) and output.get(_INTERRUPT) and not trajectory.interrupts:
        trajectory.interrupts += [str(getattr(item, "id", item)) for item in output[_INTERRUPT]]
    status = "interrupted" if trajectory.interrupts else "completed"
    registry.end(trajectory, status, answer=answer, output=_rest_of(output))


def status_of(error: BaseException) -> str:
    """Return the trajectory status for an exception that left the agent."""
    if isinstance(error, GeneratorExit):
        return "abandoned"
    if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt)):
        return "cancelled"
    if is_control_flow(error):
        return "interrupted"
    return "failed"


def answer_of(output: Any) -> str | None:
    """Return the text of an output: its structured response, its last model message, or itself."""
    if isinstance(output, str):
        return output
    structured = _structured_answer(output)
    if structured is not None:
        return ordered_json(to_plain(structured)).decode("utf-8", "replace")
    if isinstance(output, dict):
        messages = output.get("messages")
    else:
        messages = getattr(output, "messages", output)
    if not isinstance(messages, (list, tuple)):
        messages = [messages]
    for message in reversed(messages):
        if getattr(message, "type", None) in ("ai", "AIMessageChunk"):
            return said(message)  # pyright: ignore[reportArgumentType]
    return None


def _structured_answer(output: Any) -> Any:
    """Return the structured response of an agent with a response format; None without one."""
    if isinstance(output, dict):
        return output.get("structured_response")
    found = getattr(output, "structured_response", None)
    if found is None and hasattr(type(output), "model_fields") and not hasattr(output, "messages"):
        return None if hasattr(output, "additional_kwargs") else output
    return found


def _rest_of(output: Any) -> Any:
    """Return the output without its messages, which the calls that made them already record."""
    if not isinstance(output, dict):
        return None
    rest = {key: value for key, value in output.items() if key not in ("messages", _INTERRUPT)}
    return rest or None
