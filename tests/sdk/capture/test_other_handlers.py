"""Other handlers of a completion model get the same events with burnish in the process."""

import asyncio
from typing import TypedDict

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models import FakeStreamingListLLM
from langgraph.graph import START, StateGraph

import burnish
from burnish.journal.events import ModelEnded, ModelStarted


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
