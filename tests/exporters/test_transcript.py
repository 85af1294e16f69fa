"""The transcript for a judge: results stay, even if the agent writes long texts around them."""

import json

import pytest
from golden.table import run_with

from burnish.records import ModelCall, ToolRun
from burnish_exporters.verify.evidence.transcript import MOST_CHARS, transcript

RESULT = {"type": "tool_call_response", "id": "c", "response": "ERROR: NOT cancelled"}


def text(role, said):
    return {"role": role, "parts": [{"type": "text", "content": said}]}


def shown(*messages, reply="done", **fields):
    call = ModelCall(
        span_id="m",
        parent_id=None,
        tools=[],
        messages=list(messages),
        reply=text("assistant", reply),
    )
    return transcript(run_with(model_calls=[call], final_state=None, tool_runs=[], **fields))


@pytest.mark.parametrize("before", [10, 16_000, 400_000])
@pytest.mark.parametrize("after", [10, 18_000, 400_000])
def test_a_result_is_shown_however_long_the_agent_talks(before, after):
    found = shown(
        text("user", "cancel order 7"),
        text("assistant", "p" * before),
        {"role": "tool", "parts": [RESULT]},
        reply="o" * after,
    )

    assert "NOT cancelled" in found
    assert "cancel order 7" in found
    assert len(found) <= MOST_CHARS + 100


def test_a_result_is_shown_among_a_thousand_messages_of_the_agent():
    chatter = [text("assistant", f"step {n} " + "x" * 200) for n in range(1000)]

    found = shown(text("user", "cancel"), *chatter, {"role": "tool", "parts": [RESULT]}, *chatter)

    assert "NOT cancelled" in found
    assert "messages left out" in found


def test_a_long_result_keeps_its_end():
    long = {**RESULT, "response": "log " * 50_000 + "ERROR: NOT cancelled"}

    assert "NOT cancelled" in shown({"role": "tool", "parts": [long]})


def test_a_result_that_no_later_call_was_given_is_shown():
    run = ToolRun(span_id="t", parent_id=None, name="cancel", result="ERROR: NOT cancelled")

    assert "NOT cancelled" in transcript(run_with(tool_runs=[run]))


def test_what_the_agent_wrote_is_marked_as_unverified_and_nothing_else_is():
    lines = [json.loads(line) for line in shown(text("user", "go"), reply="Answer: A").splitlines()]

    assert [line.get("unverified", False) for line in lines] == [False, True]
