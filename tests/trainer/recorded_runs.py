"""Runs of an agent in a workspace, as capture records them, without a model."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import msgspec

import burnish
from burnish.capture.recorder.whole_runs import events_of
from burnish.journal.events import ModelStarted, RunEnded
from burnish.records import ModelCall, Policy, ToolRun, Trajectory, Verdict

GET_ORDER = {
    "type": "function",
    "name": "get_order",
    "parameters": {
        "type": "object",
        "properties": {"order": {"type": "integer"}},
        "required": ["order"],
        "additionalProperties": False,
    },
}


def text(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def finish_event(event: Any, adapter: str | None, ended_ns: int, prompt: str | None = None) -> Any:
    """Give an event what a run by hand lacks: the version that answers, and the time that it took."""
    if isinstance(event, ModelStarted):
        return msgspec.structs.replace(event, adapter=adapter, prompt=prompt)
    return msgspec.structs.replace(event, at=ended_ns) if isinstance(event, RunEnded) else event


def record_run(
    request: str,
    *,
    answer: str = "It costs 12 EUR.",
    system: str = "You are the shop agent.",
    arguments: Any = None,
    adapter: str | None = None,
    prompt: str | None = None,
    model: str = "hosted",
    label: str | None = None,
    verifier: Any = None,
    at: int | None = None,
    latency_s: float = 1.0,
    **fields: Any,
) -> str:
    """Record one run with a look-up and an answer; `label` is the recorded verdict of the verifier."""
    at = at or time.time_ns()
    run_id = hashlib.md5(f"{request}{at}{adapter}".encode()).hexdigest()
    arguments = {"order": 5} if arguments is None else arguments
    asked = [text("system", system), text("user", request)]
    call = {"type": "tool_call", "id": "c1", "name": "get_order", "arguments": arguments}
    reply = {"role": "assistant", "parts": [call]}
    told = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "12"}]}
    common: dict[str, Any] = {
        "parent_id": None, "tools": [GET_ORDER], "policy": Policy(model=model, adapter=adapter),
    }  # fmt: skip
    run = Trajectory(
        **{
            "id": run_id, "agent": "shop", "status": "completed", "started_ns": at,
            "ended_ns": at + int(latency_s * 1e9), "answer": answer,
            "input": {"messages": [{"role": "user", "content": request}]},
            "model_calls": [
                ModelCall(span_id="1" * 16, messages=asked, reply=reply, started_ns=1, **common),
                ModelCall(span_id="3" * 16, messages=[*asked, reply, told], reply=text("assistant", answer),
                          started_ns=3, **common),
            ],
            "tool_runs": [ToolRun(span_id="2" * 16, parent_id=None, name="get_order", call_id="c1",
                                  arguments=arguments, result="12", started_ns=2)],
            **fields,
        }
    )  # fmt: skip
    events = [
        (finish_event(event, adapter, at + int(latency_s * 1e9), prompt), contents)
        for event, contents in events_of(run, at)
    ]
    workspace = burnish.Workspace()
    blobs = {ref: blob for _, contents in events for ref, blob in contents.items()}
    workspace.writer().append_all([event for event, _ in events], blobs)
    if label is not None:
        workspace.append_verdict(
            run_id, Verdict(label=label, verifier=verifier.name, version=verifier.version)
        )
    return run_id
