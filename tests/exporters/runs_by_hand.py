"""Runs made by hand: one tool, a few calls, everything that a test may want to change."""

from burnish.records import ModelCall, Outcome, Policy, ToolRun, Trajectory

TOOL = {
    "type": "function",
    "name": "look_up",
    "description": "Look up an order.",
    "parameters": {
        "type": "object",
        "properties": {"order": {"type": "integer"}},
        "required": ["order"],
    },
}


def text(role, content):
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def call_message(call_id, arguments, name="look_up", thought="Let me see."):
    call = {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}
    return {"role": "assistant", "parts": [{"type": "text", "content": thought}, call]}


def result_message(call_id, response):
    part = {"type": "tool_call_response", "id": call_id, "response": response}
    return {"role": "tool", "parts": [part]}


def build_run(n=0, *, calls=2, request=None, answer=None, success=True, failed=(), **fields):
    """A run with `calls` model calls, all but the last of which call the tool once."""
    run_id, began = f"{n:032x}", fields.get("started_ns", n * 1000)
    messages = [text("system", "You help."), text("user", request or f"Where is order {n}?")]
    model_calls, tool_runs = [], []
    for step in range(calls):
        prompt = list(messages)
        if step < calls - 1:
            call_id = f"call-{n}-{step}"
            reply = call_message(call_id, {"order": n + step})
            error = step in failed
            result = "no such order" if error else {"city": f"city {step}"}
            tool_runs.append(
                ToolRun(
                    span_id=f"{n:08x}{step:08x}",
                    parent_id=None,
                    name="look_up",
                    call_id=call_id,
                    arguments={"order": n + step},
                    result=result,
                    is_error=error,
                    started_ns=began + step,
                )
            )
            messages += [reply, result_message(call_id, result)]
        else:
            reply = text("assistant", answer or f"Order {n} is in town.")
        model_calls.append(
            ModelCall(
                span_id=f"{n:08x}{step:08x}",
                parent_id=None,
                messages=prompt,
                tools=[TOOL],
                reply=reply,
                policy=Policy(model="tiny"),
                started_ns=began + step,
            )
        )
    outcomes = [] if success is None else [Outcome(source="crm", success=success, reported_ns=5)]
    defaults = {
        "id": run_id,
        "agent": "support",
        "status": "completed",
        "task_id": f"task-{n}",
        "started_ns": began,
        "answer": answer or f"Order {n} is in town.",
        "final_state": {"order": n},
        "model_calls": model_calls,
        "tool_runs": tool_runs,
        "outcomes": outcomes,
    }
    return Trajectory(**{**defaults, **fields})
