"""Golden cases of tool calls as a model made them."""

import msgspec
from runs_by_hand import build_run

from burnish_exporters.verify import tool_calls
from golden.table import Case

PARAMETERS = {
    "type": "object",
    "properties": {
        "order": {"type": "integer", "minimum": 1},
        "level": {"enum": ["low", "high"]},
        "place": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["order"],
}
CALLS = [
    ("look_up", {"order": 1}, "success"),
    ("look_up", {"order": 1, "level": "low"}, "success"),
    ("look_up", {"order": 1, "place": {"city": "Oslo"}}, "success"),
    ("look_up", {"order": 1, "tags": []}, "success"),
    ("look_up", {"order": 1, "tags": ["a", "b"]}, "success"),
    ("look_up", '{"order": 1}', "success"),
    ("look_up", {"order": 2**70}, "success"),
    ("look_down", {"order": 1}, "fail"),
    ("", {"order": 1}, "fail"),
    ("Look_up", {"order": 1}, "fail"),
    ("look_up", {}, "fail"),
    ("look_up", {"Order": 1}, "fail"),
    ("look_up", {"order": 1, "more": 2}, "fail"),
    ("look_up", {"order": "1"}, "fail"),
    ("look_up", {"order": None}, "fail"),
    ("look_up", {"order": 0}, "fail"),
    ("look_up", {"order": 1, "level": "top"}, "fail"),
    ("look_up", {"order": 1, "place": {}}, "fail"),
    ("look_up", {"order": 1, "tags": ["a", 1]}, "fail"),
    ("look_up", "{oops", "fail"),
    ("look_up", "[1]", "fail"),
    ("look_up", None, "fail"),
]


def _run(name, arguments):
    run = build_run(1)
    call = {"type": "tool_call", "id": "c", "name": name, "arguments": arguments}
    first = msgspec.structs.replace(
        run.model_calls[0],
        reply={"role": "assistant", "parts": [call]},
        tools=[{"type": "function", "name": "look_up", "parameters": PARAMETERS}],
    )
    return msgspec.structs.replace(run, model_calls=[first, *run.model_calls[1:]])


GOLDEN = {
    "tool_calls": [
        *(Case(tool_calls(), _run(name, arguments), label) for name, arguments, label in CALLS),
        Case(tool_calls(tolerate=1), _run("look_down", {}), "success"),
        Case(tool_calls(), build_run(1, calls=1), "success"),
        Case(tool_calls(), msgspec.structs.replace(build_run(1), model_calls=[]), "unknown"),
    ]
}
