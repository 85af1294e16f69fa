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
    began, answer = fields.get("started_ns", n * 1000), answer or f"Order {n} is in town."
    messages = [text("system", "You help."), text("user", request or f"Where is order {n}?")]
    model_calls, tool_runs = [], []
    for step in range(calls):
        place = {
            "span_id": f"{n:08x}{step:08x}",
            "parent_id": None,
            "started_ns": began + step,
        }
        prompt, reply = list(messages), text("assistant", answer)
        if step < calls - 1:
            look_up = look_up_of(n, step, error=step in failed, **place)
            reply = call_message(look_up.call_id, look_up.arguments)
            messages += [reply, result_message(look_up.call_id, look_up.result)]
            tool_runs.append(look_up)
        policy = Policy(model="tiny")
        model_calls.append(
            ModelCall(messages=prompt, tools=[TOOL], reply=reply, policy=policy, **place)
        )
    defaults = {
        "id": f"{n:032x}",
        "agent": "support",
        "status": "completed",
        "task_id": f"task-{n}",
        "started_ns": began,
        "answer": answer,
        "final_state": {"order": n},
        "model_calls": model_calls,
        "tool_runs": tool_runs,
        "outcomes": []
        if success is None
        else [Outcome(source="crm", success=success, reported_ns=5)],
    }
    return Trajectory(**{**defaults, **fields})


def look_up_of(n, step, *, error, **place):
    """One look-up of a run."""
    return ToolRun(
        name="look_up",
        call_id=f"call-{n}-{step}",
        arguments={"order": n + step},
        result="no such order" if error else {"city": f"city {step}"},
        is_error=error,
        **place,
    )
