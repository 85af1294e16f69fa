"""A run becomes exactly the conversations that the model saw."""

import json

import msgspec
import pytest

from burnish.records import Failure, ModelCall, ToolRun, Verdict
from burnish_exporters.rows import Unrenderable, build_rows, to_chat

YES = Verdict(label="success", verifier="test")


def rows_of(run, **kw):
    rows, reason = build_rows(run, YES, split="train", **kw)
    assert reason is None, reason
    return rows


def changed(run, **fields):
    return msgspec.structs.replace(run, **fields)


def call_of(messages, reply, tools=(), **fields):
    return ModelCall(
        span_id="s", parent_id=None, messages=messages, tools=list(tools), reply=reply, **fields
    )


def test_a_run_whose_calls_continue_each_other_is_one_row_with_every_reply_learned(make_run):
    (row,) = rows_of(make_run(calls=4))

    roles = [message["role"] for message in row.messages]
    assert roles == ["system", "user", *["assistant", "tool"] * 3, "assistant"]
    assert [m["loss"] for m in row.messages] == [role == "assistant" for role in roles]


def test_thought_and_call_share_a_message_with_string_arguments_and_the_results_id(make_run):
    (row,) = rows_of(make_run(7))

    said, seen = row.messages[2:4]
    assert said["content"] == "Let me see."
    (call,) = said["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"order": 7}
    assert call["id"] == seen["tool_call_id"]


def test_an_empty_observation_is_kept():
    (chat,) = to_chat(
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": ""}]}
    )

    assert chat == {"role": "tool", "tool_call_id": "c", "content": ""}


def test_a_trimmed_prompt_becomes_a_row_of_its_own_with_exactly_that_prompt(make_run):
    run = make_run(calls=3)
    first, second, third = run.model_calls
    trimmed = msgspec.structs.replace(third, messages=[third.messages[0], *third.messages[-2:]])
    run = changed(run, model_calls=[first, second, trimmed])

    long, short = rows_of(run)

    assert [m["content"] for m in short.messages[:-1]] == [
        chat["content"] for message in trimmed.messages for chat in to_chat(message)
    ]
    assert sum(m["loss"] for m in short.messages) == 1
    assert sum(m["loss"] for m in long.messages) == 2


def test_each_reply_carries_loss_in_one_row_only_when_two_agents_take_turns(make_run):
    one, two = make_run(1, calls=3), make_run(2, calls=3)
    mixed = [call for pair in zip(one.model_calls, two.model_calls, strict=True) for call in pair]
    mixed = [msgspec.structs.replace(c, started_ns=n) for n, c in enumerate(mixed)]
    run = changed(one, model_calls=mixed, tool_runs=one.tool_runs + two.tool_runs)

    rows = rows_of(run)

    assert len(rows) == 2
    assert [sum(m["loss"] for m in row.messages) for row in rows] == [3, 3]


def test_other_tools_in_the_middle_of_a_run_begin_a_new_row(make_run):
    run = make_run(calls=3)
    last = run.model_calls[-1]
    other = [*last.tools, {"type": "function", "name": "cancel", "parameters": {}}]
    run = changed(
        run, model_calls=[*run.model_calls[:-1], msgspec.structs.replace(last, tools=other)]
    )

    before, after = rows_of(run)

    assert [len(row.tools) for row in (before, after)] == [1, 2]
    assert [sum(m["loss"] for m in row.messages) for row in (before, after)] == [2, 1]


def test_the_erring_turn_of_a_recovery_carries_no_loss_unless_asked_for(make_run):
    from burnish_exporters.rows.row import RowSettings

    run = make_run(calls=3, failed=[0])

    (masked,) = rows_of(run)
    (whole,) = rows_of(run, settings=RowSettings(mask_errors=False))

    losses = [[m["loss"] for m in r.messages if m["role"] == "assistant"] for r in (masked, whole)]
    assert losses == [[False, True, True], [True, True, True]]


def test_a_reply_whose_result_is_marked_as_error_carries_no_loss(make_run):
    run = make_run(calls=3)
    last = run.model_calls[-1]
    messages = [dict(message) for message in last.messages]
    messages[3]["status"] = "error"
    run = changed(
        run,
        model_calls=[
            msgspec.structs.replace(call, messages=messages[: len(call.messages)])
            for call in run.model_calls
        ],
    )

    (row,) = rows_of(run)

    assert [m["loss"] for m in row.messages if m["role"] == "assistant"] == [False, True, True]


@pytest.mark.parametrize(
    "change",
    [
        {"error": Failure(type="Timeout", message="late")},
        {"sampled": False},
        {"finish_reason": "length"},
    ],
)
def test_a_reply_that_was_cut_cached_or_failed_carries_no_loss(make_run, change):
    run = make_run(calls=2)
    first = msgspec.structs.replace(run.model_calls[0], **change)

    (row,) = rows_of(changed(run, model_calls=[first, run.model_calls[1]]))

    assert [m["loss"] for m in row.messages if m["role"] == "assistant"] == [False, True]


def test_a_name_that_the_graph_gave_to_a_reply_does_not_part_the_row(make_run):
    run = make_run(calls=2)
    last = run.model_calls[1]
    named = [{**m, "name": "helper"} if m["role"] == "assistant" else m for m in last.messages]
    run = changed(
        run, model_calls=[run.model_calls[0], msgspec.structs.replace(last, messages=named)]
    )

    assert len(rows_of(run)) == 1


def test_a_call_without_a_reply_leaves_no_trace_in_the_row(make_run):
    run = make_run(calls=2)
    failed = msgspec.structs.replace(
        run.model_calls[0], reply=None, error=Failure(type="E", message="x"), started_ns=-1
    )

    (row,) = rows_of(changed(run, model_calls=[failed, *run.model_calls]))

    assert row.messages == rows_of(run)[0].messages


def test_captured_token_ids_travel_with_their_call(make_run):
    run = make_run(calls=2)
    calls = [
        msgspec.structs.replace(call, prompt_token_ids=[1, 2, n], token_ids=[3], logprobs=[-0.5])
        for n, call in enumerate(run.model_calls)
    ]

    (row,) = rows_of(changed(run, model_calls=calls))

    assert [call["prompt_token_ids"] for call in row.calls] == [[1, 2, 0], [1, 2, 1]]
    assert [row.messages[call["message"]]["role"] for call in row.calls] == ["assistant"] * 2


@pytest.mark.parametrize(
    ("messages", "reply", "reason"),
    [
        ([{"role": "tool", "parts": [{"type": "tool_call_response", "id": "x", "response": 1}]}],
         "done", "malformed: tool result without its call"),
        ([], "done", "malformed: empty prompt"),
    ],
)  # fmt: skip
def test_a_conversation_that_breaks_the_rules_is_dropped_with_its_reason(
    make_run, messages, reply, reason
):
    reply = {"role": "assistant", "parts": [{"type": "text", "content": reply}]}
    run = changed(make_run(), model_calls=[call_of(messages, reply)])

    assert build_rows(run, YES, split="train") == ([], reason)


def assistant_with(*parts):
    return {"role": "assistant", "parts": list(parts)}


USER = {"role": "user", "parts": [{"type": "text", "content": "hello"}]}
TOOLS = [{"type": "function", "name": "known", "parameters": {}}]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([{"type": "tool_call", "id": "a", "name": "unknown", "arguments": {}}],
         "malformed: unknown tool name"),
        ([{"type": "tool_call", "id": "a", "name": "known", "arguments": "[1"}],
         "malformed: arguments are no JSON object"),
        ([{"type": "tool_call", "id": "a", "name": "known", "arguments": {}}] * 2,
         "malformed: call id used twice"),
    ],
)  # fmt: skip
def test_a_bad_call_that_would_be_learned_drops_the_run(make_run, parts, reason):
    run = changed(make_run(), model_calls=[call_of([USER], assistant_with(*parts), TOOLS)])

    assert build_rows(run, YES, split="train") == ([], reason)


def test_a_part_without_a_place_in_the_chat_form_is_named():
    with pytest.raises(Unrenderable, match="message part of type hologram"):
        to_chat({"role": "user", "parts": [{"type": "hologram"}]})


def test_an_image_becomes_an_image_block_beside_its_text():
    blob = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"}
    (chat,) = to_chat({"role": "user", "parts": [{"type": "text", "content": "see"}, blob]})

    assert chat["content"][1]["image_url"]["url"] == "data:image/png;base64,AAAA"


def test_raw_arguments_stay_as_the_model_wrote_them():
    call = {"type": "tool_call", "id": "c", "name": "f", "arguments": {"b": 1, "a": 2},
            "raw_arguments": '{"b": 1,  "a": 2}'}  # fmt: skip
    (chat,) = to_chat(assistant_with(call))

    assert chat["tool_calls"][0]["function"]["arguments"] == '{"b": 1,  "a": 2}'


def test_an_unreadable_call_carries_no_loss_and_keeps_its_text(make_run):
    bad = assistant_with(
        {"type": "invalid_tool_call", "id": "c", "name": "known", "arguments": "{oops"}
    )
    result = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": "?"}]}
    done = assistant_with({"type": "text", "content": "sorry"})
    calls = [
        call_of([USER], bad, TOOLS, started_ns=1),
        call_of([USER, bad, result], done, TOOLS, started_ns=2),
    ]

    (row,) = rows_of(
        changed(
            make_run(),
            model_calls=calls,
            tool_runs=[ToolRun(span_id="t", parent_id=None, name="known", call_id="c")],
        )
    )

    assert row.messages[1]["tool_calls"][0]["function"]["arguments"] == "{oops"
    assert [m["loss"] for m in row.messages] == [False, False, False, True]


def test_a_tool_schema_comes_out_of_storage_as_a_function_declares_it():
    """Sorted keys in, the order of clients out; nothing is lost, whatever else a schema holds."""
    from burnish_exporters.rows.row import chat_tool

    properties = {
        "limit": {"type": "integer"},
        "query": {"type": "string"},
        "where": {"type": "string"},
    }
    parameters = {"properties": properties, "required": ["where", "query"], "type": "object"}
    inner = {"description": "Search.", "name": "search", "parameters": parameters, "x-own": 1}
    stored = {"cache_control": {"type": "ephemeral"}, "function": inner, "type": "function"}

    tool = chat_tool(stored)

    assert tool == stored
    assert list(tool) == ["type", "function", "cache_control"]
    assert list(tool["function"]) == ["name", "description", "parameters", "x-own"]
    assert list(tool["function"]["parameters"]["properties"]) == ["where", "query", "limit"]
    assert chat_tool({"name": "ping"}) == {"type": "function", "function": {"name": "ping"}}
