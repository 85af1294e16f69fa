"""`wrap` returns an object that is still the agent: its class, its exceptions, copies, pickles, nesting.

test_every_scenario.py checks for every scenario that results, streams and events stay the same.
"""

import copy
import pickle
from typing import Annotated, TypedDict

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

import burnish
from burnish.journal.events import RunStarted
from burnish.testing import ScriptedChatModel


class Words(TypedDict):
    words: Annotated[list, lambda old, new: old + new]


def failing_graph(error):
    def node(state):
        raise error

    builder = StateGraph(Words)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile()


@pytest.mark.parametrize("error", [KeyError("gone"), KeyboardInterrupt()])
def test_the_same_exception_object_is_raised(journal, error):
    with pytest.raises(type(error)) as raised:
        burnish.wrap(failing_graph(error), agent="bad").invoke({"words": []})

    assert raised.value is error


async def test_the_same_exception_object_is_raised_by_coroutines(journal):
    error = LookupError("gone")

    with pytest.raises(LookupError) as raised:
        await burnish.wrap(failing_graph(error), agent="bad").ainvoke({"words": []})

    assert raised.value is error


def shout(message):
    return message.text.upper()


def test_plain_runnables_can_be_wrapped(journal):
    prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
    chain = prompt | ScriptedChatModel(script=["yes", "yes"], repeat=True) | RunnableLambda(shout)

    wrapped = burnish.wrap(chain, agent="chain")

    assert isinstance(wrapped, type(chain))
    assert wrapped.invoke({"question": "?"}) == chain.invoke({"question": "?"})
    assert list(wrapped.stream({"question": "?"})) == list(chain.stream({"question": "?"}))
    assert wrapped.batch([{"question": "?"}] * 3) == chain.batch([{"question": "?"}] * 3)
    assert [event.entry.split()[0] for event in journal.of(RunStarted)] == [
        "invoke", "stream", "batch", "batch", "batch",
    ]  # fmt: skip
    assert journal.list_open_spans() == set()


def test_a_chat_model_can_be_wrapped(journal):
    model = ScriptedChatModel(script=["yes"], repeat=True)

    wrapped = burnish.wrap(model, agent="model")

    assert isinstance(wrapped, ScriptedChatModel)
    assert wrapped.invoke("?").content == "yes"
    assert "".join(chunk.text for chunk in wrapped.stream("?")) == "yes"
    assert len(journal.of(RunStarted)) == 2
    assert journal.list_open_spans() == set()


def test_the_original_stays_unrecorded(agents, journal):
    graph = agents.adding_agent()
    burnish.wrap(graph, agent="adder")

    graph.invoke(agents.ask)

    assert journal.events == []


def test_wrapping_twice_records_once_under_the_last_name(agents, journal):
    graph = burnish.wrap(burnish.wrap(agents.adding_agent(), agent="first"), agent="second")

    graph.invoke(agents.ask)

    assert [event.agent for event in journal.of(RunStarted)] == ["second"]


def test_the_class_survives_with_config_and_copy(agents, journal):
    graph = burnish.wrap(agents.adding_agent(), agent="adder")

    for again in (graph.with_config({"tags": ["x"]}), copy.copy(graph)):
        assert type(again) is type(graph)
        again.invoke(agents.ask)

    assert len(journal.of(RunStarted)) == 2
    assert journal.of(RunStarted)[0].agent == "adder"


def doubled(value):
    return value * 2


def test_a_wrapped_runnable_survives_pickling(journal):
    wrapped = burnish.wrap(RunnableLambda(doubled), agent="double", tags=["x"])

    again = pickle.loads(pickle.dumps(wrapped))

    assert again.invoke(2) == 4
    (started,) = journal.of(RunStarted)
    assert (started.agent, started.tags) == ("double", ["x"])


def test_a_wrapped_graph_works_as_a_node_of_another(agents, journal):
    class State(TypedDict):
        messages: Annotated[list, add_messages]

    inner = burnish.wrap(agents.adding_agent(), agent="inner")
    builder = StateGraph(State)
    builder.add_node("inner", inner)
    builder.add_edge(START, "inner")
    builder.add_edge("inner", END)
    outer = builder.compile()

    result = outer.invoke(agents.ask)

    assert result["messages"][-1].content == "the sum is ten"
    assert [name for name, _ in outer.get_subgraphs()] == ["inner"]
    (started,) = journal.of(RunStarted)
    assert started.agent == "inner"


@pytest.mark.parametrize("thing", [object(), len, StateGraph(Words)])
def test_what_cannot_be_invoked_is_refused_with_the_remedy(thing):
    with pytest.raises(burnish.errors.CaptureError, match="compile"):
        burnish.wrap(thing, agent="x")


def test_an_empty_name_is_refused(agents):
    with pytest.raises(burnish.errors.CaptureError, match="a name"):
        burnish.wrap(agents.adding_agent(), agent="")
