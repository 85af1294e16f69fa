"""Replies that came to their own end carry loss, under every provider's finish reason."""

import base64

import msgspec
import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from pydantic import BaseModel

import burnish
from burnish.capture.langchain.replies import finish_reason_of
from burnish.records import Verdict
from burnish.testing import ScriptedChatModel
from burnish_exporters import build_dataset
from burnish_exporters.curate.sample import KEEP, Drop, Item
from burnish_exporters.curate.steps.losses import keep_complete
from burnish_exporters.rows import Unrenderable, build_rows, to_chat
from burnish_exporters.rows.endings import ended_whole

YES = Verdict(label="success", verifier="test")


@pytest.mark.parametrize(
    "reason",
    [
        None, "", "stop", "STOP", "stopstop", "end_turn", "tool_calls", "tool_callstool_calls", "tool_use", "eos",
        "function_call", "FinishReason.STOP", "FINISH_REASON_STOP", "stop_sequence", "completed",
    ],
)  # fmt: skip
def test_a_reply_that_ended_by_itself_is_whole(reason):
    assert ended_whole(reason)


@pytest.mark.parametrize(
    "reason",
    [
        "length", "lengthlength", "max_tokens", "MAX_TOKENS", "model_length", "model_context_window_exceeded",
        "pause_turn", "incomplete", "max_output_tokens", "RECITATION", "SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT",
        "SPII", "MALFORMED_FUNCTION_CALL", "refusal", "content_filter", "content_filtered", "error", "cancelled",
        "FinishReason.MAX_TOKENS", "guardrail_intervened", "a word of a provider to come", "stoplength",
    ],
)  # fmt: skip
def test_a_reply_that_was_cut_refused_or_ended_in_an_unknown_way_is_not(make_run, reason):
    run = make_run(1)
    calls = [msgspec.structs.replace(call, finish_reason=reason) for call in run.model_calls]

    assert not ended_whole(reason)
    assert build_rows(msgspec.structs.replace(run, model_calls=calls), YES, split="train") == (
        [],
        "nothing to learn: no reply carries loss",
    )


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"finish_reason": "lengthlength"}, "length"),
        ({"finish_reason": "stopstopstop"}, "stop"),
        ({"finish_reason": "stoplength"}, "length"),
        ({"finish_reason": "max_tokens"}, "max_tokens"),
        ({"finish_reason": "model_length"}, "model_length"),
        ({"stopReason": "max_tokens"}, "max_tokens"),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "max_output_tokens",
        ),
        ({"status": "incomplete"}, "incomplete"),
        ({"status": "completed"}, None),
        ({"finish_reason": "of its own"}, "of its own"),
    ],
)
def test_the_last_word_of_a_server_counts(metadata, reason):
    assert finish_reason_of(metadata) == reason


@tool
def search(q: str) -> str:
    """Search."""
    return q.upper()


def recorded(graph, thread="t", **config):
    graph.invoke({"messages": [("user", "Go.")]}, {"configurable": {"thread_id": thread}, **config})
    burnish.outcome(thread_id=thread, success=True, source="crm")
    burnish.flush()
    (run,) = burnish.Workspace().trajectories(agent="a")
    return run


def says(q, call_id="c1"):
    return AIMessage(
        "", tool_calls=[{"name": "search", "args": {"q": q}, "id": call_id, "type": "tool_call"}]
    )


def test_ids_that_are_numbered_anew_in_each_turn_bar_nothing(home):
    script = [says("one", "search:0"), says("two", "search:0"), "Fin."]
    run = recorded(
        burnish.wrap(create_agent(ScriptedChatModel(script=script), [search]), agent="a")
    )

    assert [(used.arguments["q"], used.attempt) for used in run.tool_runs] == [
        ("one", 1),
        ("two", 1),
    ]
    (row,) = build_dataset(burnish.Workspace(), agent="a", verify=["outcome"]).rows()
    assert [m["loss"] for m in row["messages"]] == [False, True, False, True, False, True]


def test_a_failed_call_masks_the_reply_that_made_it_and_no_other_under_the_same_id(make_run):
    """Two calls under one id, of which the first failed."""
    run = make_run(calls=3, failed=[0])
    text = msgspec.json.encode(run).replace(b"call-0-2", b"call-0-1")
    run = msgspec.json.decode(text, type=type(run))

    (row,), problem = build_rows(run, YES, split="train")

    assert problem is None
    assert [m["loss"] for m in row.messages if m["role"] == "assistant"] == [False, True, True]


def test_a_structured_response_is_the_answer(home):
    class Answer(BaseModel):
        """The answer."""

        city: str

    call = {"name": "Answer", "args": {"city": "Oslo"}, "id": "c1", "type": "tool_call"}
    model = ScriptedChatModel(script=[AIMessage("", tool_calls=[call])])
    run = recorded(
        burnish.wrap(create_agent(model, [], response_format=ToolStrategy(Answer)), agent="a")
    )

    assert run.answer == '{"city":"Oslo"}'


def leave(script, mode, enough):
    graph = burnish.wrap(create_agent(ScriptedChatModel(script=script), [search]), agent="a")
    stream = graph.stream(
        {"messages": [("user", "Go.")]}, {"configurable": {"thread_id": "t"}}, stream_mode=mode
    )
    for step in stream:
        if enough(step):
            break
    stream.close()
    burnish.flush()
    (run,) = burnish.Workspace().trajectories(agent="a")
    return run


def test_a_stream_that_is_left_with_the_answer_is_complete(home):
    run = leave(
        [says("one"), "Fin."], "values", lambda step: step["messages"][-1].content == "Fin."
    )

    assert (run.status, run.answer, run.losses) == ("completed", "Fin.", {})


def test_a_stream_that_is_left_while_a_tool_is_called_for_is_abandoned(home):
    run = leave([says("one"), "Fin."], "values", lambda step: step["messages"][-1].type == "ai")

    assert run.status == "abandoned"


class Client:
    """A connection to somewhere."""


def test_an_object_beside_the_conversation_is_counted_apart_and_bars_nothing(home):
    @tool(response_format="content_and_artifact")
    def fetch(q: str):
        """Fetch."""
        return q.upper(), Client()

    call = {"name": "fetch", "args": {"q": "one"}, "id": "c1", "type": "tool_call"}
    model = ScriptedChatModel(script=[AIMessage("", tool_calls=[call]), "ONE."])
    run = recorded(
        burnish.wrap(create_agent(model, [fetch]), agent="a"), metadata={"client": Client()}
    )

    assert run.losses
    assert all(kind.startswith("beside_") for kind in run.losses)
    assert keep_complete()(Item(trajectory=run)) is KEEP
    assert len(list(build_dataset(burnish.Workspace(), agent="a", verify=["outcome"]).rows())) == 1


def test_an_object_that_a_model_was_given_bars_the_run(home):
    with burnish.trace(agent="a", thread_id="t"):
        asked = [{"role": "user", "content": "Go."}]
        with burnish.trace.model_call(model="m", messages=asked, response_format=Client()) as made:
            made.reply("Done.")
    burnish.flush()
    (run,) = burnish.Workspace().trajectories(agent="a")

    assert keep_complete()(Item(trajectory=run)) == Drop("losses: unserialisable")


def test_numbers_of_numpy_are_numbers(home):
    numpy = pytest.importorskip("numpy")

    @tool(response_format="content_and_artifact")
    def count(q: str):
        """Count."""
        return q, {"rows": numpy.int64(3), "share": numpy.float32(0.5), "all": numpy.arange(3)}

    call = {"name": "count", "args": {"q": "one"}, "id": "c1", "type": "tool_call"}
    model = ScriptedChatModel(script=[AIMessage("", tool_calls=[call]), "3."])
    run = recorded(burnish.wrap(create_agent(model, [count]), agent="a"))

    assert run.losses == {}
    assert run.tool_runs[0].extras["artifact"] == {"rows": 3, "share": 0.5, "all": [0, 1, 2]}


DATA = base64.b64encode(b"\x89PNG").decode()


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ({"type": "image", "base64": DATA, "mime_type": "image/png"}, "image"),
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}, "image"),
        ({"type": "image", "source": {"type": "base64", "data": DATA}}, "image"),
        ({"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}}, "audio"),
        ({"type": "file", "file_id": "f1"}, "file"),
        ({"type": "blob", "modality": "video", "content": DATA}, "blob"),
    ],
)
def test_a_medium_in_a_tool_result_is_no_text(block, kind):
    part = {
        "type": "tool_call_response",
        "id": "c1",
        "response": [{"type": "text", "text": "page 7"}, block],
    }

    with pytest.raises(Unrenderable, match=f"malformed: {kind} in a tool result"):
        to_chat({"role": "tool", "parts": [part]})


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "image", "title": "Sunset"}], '[{"type": "image", "title": "Sunset"}]'),
        ({"type": "file", "name": "x"}, '{"type": "file", "name": "x"}'),
    ],
)
def test_data_that_only_looks_like_a_medium_stays_data(response, text):
    part = {"type": "tool_call_response", "id": "c1", "response": response}

    assert to_chat({"role": "tool", "parts": [part]})[0]["content"] == text
