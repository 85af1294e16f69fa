"""Repeated content of a run is stored once: long texts, and the messages of earlier calls."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool

import burnish
from burnish.capture.recorder import sink
from burnish.journal import frames
from burnish.journal.content_sharing import CHUNK
from burnish.journal.writer import JournalWriter
from burnish.testing import ScriptedChatModel
from burnish.workspace import Workspace

PAGE = "a long page about orders, "
TIMES = 100


@tool
def read() -> str:
    """Read a page."""
    return PAGE * TIMES


@pytest.fixture
def stored(tmp_path):
    """Put a journal on the disk in place of the process's own, and return its contents."""
    writer = JournalWriter(tmp_path)
    before = sink.replace(writer)

    def look():
        writer.flush()
        (segment,) = tmp_path.glob("journal/*/*.seg")
        data = segment.read_bytes()
        kinds = [kind for kind, _, _ in frames.split(data)]
        (trajectory,) = Workspace(tmp_path).trajectories()
        return SimpleNamespace(data=data, kinds=kinds, trajectory=trajectory)

    yield look
    sink.replace(before)
    writer.close()


def step(number):
    return AIMessage("", tool_calls=[{"name": "read", "args": {}, "id": f"c{number}"}])


def reading(*script):
    return create_agent(ScriptedChatModel(script=list(script)), [read])


def test_a_long_result_stands_once_whatever_tells_of_it(stored):
    agent = burnish.wrap(reading(step(1), step(2), AIMessage("read")), agent="reader")
    agent.invoke({"messages": [("user", "read it twice")]})
    found = stored()
    assert found.data.count(PAGE.encode()) == TIMES
    assert [run.result for run in found.trajectory.tool_runs] == [PAGE * TIMES] * 2
    last = found.trajectory.model_calls[-1].messages
    told = [message["parts"][0]["response"] for message in last if message["role"] == "tool"]
    assert told == [PAGE * TIMES] * 2


def test_a_long_result_that_was_recorded_by_hand_stands_once(stored):
    with burnish.trace(agent="reader"):
        with burnish.trace.tool_call("read", {}, call_id="c1") as call:
            call.result(PAGE * TIMES)
        for _ in range(2):
            told = [{"role": "tool", "tool_call_id": "c1", "content": PAGE * TIMES}]
            with burnish.trace.model_call(told, model="m") as model:
                model.reply(PAGE * TIMES)
        with burnish.trace.model_call(["so?"], model="m") as model:
            model.reply("that is all")  # the run's answer, which its last event holds as well
    found = stored()
    said = [call.reply["parts"][0]["content"] for call in found.trajectory.model_calls]
    assert said == [PAGE * TIMES, PAGE * TIMES, "that is all"]
    assert found.data.count(PAGE.encode()) == TIMES


def test_a_run_of_many_messages_lists_them_in_links(stored):
    count = 2 * CHUNK
    script = [*(step(number) for number in range(count)), AIMessage("read")]
    agent = burnish.wrap(reading(*script), agent="reader")
    agent.invoke({"messages": [("user", "read on")]}, {"recursion_limit": 1000})
    found = stored()
    assert found.kinds.count(frames.LINK) == 2 * count // CHUNK
    assert [len(call.messages) for call in found.trajectory.model_calls] == list(
        range(1, 2 * count + 2, 2)
    )


def test_messages_that_differ_only_in_what_no_field_holds_are_two(journal):
    model = burnish.wrap(ScriptedChatModel(script=["one", "two"]), agent="asker")
    for mood in ("calm", "cross"):
        model.invoke([HumanMessage("go", mood=mood), HumanMessage("go", mood=mood)])
    moods = {
        mood for mood in ("calm", "cross") for b in journal.blobs.values() if mood.encode() in b
    }
    assert moods == {"calm", "cross"}


def test_messages_of_one_call_that_differ_only_in_what_no_field_holds_are_two(journal):
    model = burnish.wrap(ScriptedChatModel(script=["one"]), agent="asker")
    model.invoke([HumanMessage("go", mood="calm"), HumanMessage("go", mood="cross")])
    (asked,) = [event for event in journal.events if type(event).__name__ == "ModelStarted"]
    assert len(set(asked.messages)) == 2
