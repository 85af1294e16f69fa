"""Other handlers get the same events with burnish in the process, and no model streams for it."""

import asyncio
import collections
import sys
from typing import TypedDict

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models import FakeStreamingListLLM
from langgraph.graph import START, StateGraph

import burnish
from burnish.journal.events import ModelEnded, ModelStarted
from burnish.testing import ScriptedChatModel


class State(TypedDict):
    out: str


def graph():
    model = FakeStreamingListLLM(responses=["one two"])

    async def node(state, config):
        replies = await model.abatch(["hello", "there"], config)
        return {"out": "".join(replies)}

    builder = StateGraph(State)
    builder.add_node("n", node)
    builder.add_edge(START, "n")
    return builder.compile()


class Heard(BaseCallbackHandler):
    def __init__(self, *, inline=False):
        self.seen, self.run_inline = [], inline

    def on_llm_start(self, serialized, prompts, **about):
        self.seen.append(("start", *prompts))

    def on_llm_end(self, response, **about):
        self.seen.append(("end", response.generations[0][0].text))


class HeardAsync(AsyncCallbackHandler):
    def __init__(self):
        self.seen = []

    async def on_llm_start(self, serialized, prompts, **about):
        self.seen.append(("start", *prompts))

    async def on_llm_end(self, response, **about):
        self.seen.append(("end", response.generations[0][0].text))


EXPECTED = [("end", "one two"), ("end", "one two"), ("start", "hello"), ("start", "there")]


@pytest.mark.parametrize("made", [Heard, HeardAsync])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_handler_hears_starts_and_ends(journal, made, wrapped):
    handler = made()
    agent = burnish.wrap(graph(), agent="a")
    asyncio.run((agent if wrapped else graph()).ainvoke({"out": ""}, {"callbacks": [handler]}))

    assert sorted(handler.seen) == EXPECTED


def test_an_inline_handler_hears_them_too(journal):
    handler = Heard(inline=True)
    asyncio.run(burnish.wrap(graph(), agent="a").ainvoke({"out": ""}, {"callbacks": [handler]}))

    assert sorted(handler.seen) == EXPECTED


def test_streams_of_events_show_them(journal):
    async def names():
        agent = burnish.wrap(graph(), agent="a")
        stream = agent.astream_events({"out": ""}, version="v2")
        return [event["event"] async for event in stream]

    found = asyncio.run(names())
    assert [found.count(name) for name in ("on_llm_start", "on_llm_end")] == [2, 2]


def test_the_calls_are_recorded_once(journal):
    asyncio.run(burnish.wrap(graph(), agent="a").ainvoke({"out": ""}, {"callbacks": [Heard()]}))

    kinds = [type(event) for event in journal.events]
    assert (kinds.count(ModelStarted), kinds.count(ModelEnded)) == (2, 2)


def asker(model):
    def ask(state):
        return {"out": model.invoke("hello").text}

    builder = StateGraph(State)
    builder.add_node("n", ask)
    builder.add_edge(START, "n")
    return builder.compile()


def checks_of(agent):
    """Count the checks of handlers against LangChain's protocol of streaming ones."""
    found = collections.Counter()

    def count(frame, event, argument):
        if event == "call" and frame.f_code.co_name == "__instancecheck__":
            found[getattr(frame.f_locals.get("cls"), "__name__", "")] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        agent.invoke({"out": ""})
    finally:
        sys.setprofile(before)
    return found["_StreamingCallbackHandler"]


def test_a_model_does_not_look_whether_the_recording_handler_streams(journal):
    model = ScriptedChatModel(script=["one two three"], repeat=True)
    agent = burnish.wrap(asker(model), agent="a")
    agent.invoke({"out": ""})

    assert checks_of(agent) == 0
    assert len(journal.of(ModelEnded)) == 2


def test_a_model_streams_for_the_handlers_beside_it(journal):
    model = ScriptedChatModel(script=["one two three"], repeat=True)
    plain, agent = asker(model), burnish.wrap(asker(model), agent="a")
    agent.invoke({"out": ""})
    expected = [piece.text for piece, _ in plain.stream({"out": ""}, stream_mode="messages")]
    found = [piece.text for piece, _ in agent.stream({"out": ""}, stream_mode="messages")]

    assert len(found) > 1
    assert found == expected
