"""A wrapped agent behaves as the agent does: results, streams, events, exceptions."""

import copy
import pickle
from typing import Annotated, TypedDict

import pytest
from langchain_core.messages import BaseMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt

import burnish
from burnish.journal.events import RunStarted
from burnish.testing import ScriptedChatModel

VOLATILE = {
    "id", "run_id", "parent_ids", "langgraph_checkpoint_ns", "checkpoint_ns", "checkpoint_id",
    "timestamp", "ts", "interrupts", "created_at", "tool_call_ids", "name_id",
}  # fmt: skip


def plain(value):
    """Anything an agent gives, without ids and times that differ from run to run."""
    if isinstance(value, BaseMessage):
        value = value.model_dump() | {"class": type(value).__name__}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, Command):
        return ["Command", plain(value.update), plain(value.goto)]
    if type(value).__name__ in ("Interrupt", "StateSnapshot", "Overwrite"):
        return [type(value).__name__, plain(getattr(value, "value", None))]
    return repr(value) if " at 0x" not in repr(value) else type(value).__name__


async def collect(stream):
    return [item async for item in stream]


MODES = ["values", "updates", "messages", "custom", "tasks", "debug", "checkpoints"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("saved", [False, True])
def test_each_stream_mode_gives_the_same_chunks(agents, journal, mode, saved):
    saver = {"checkpointer": InMemorySaver()} if saved else {}
    graph = agents.adding_agent(parallel=False, **saver)
    config = {"configurable": {"thread_id": "a"}}
    other = {"configurable": {"thread_id": "b"}}

    bare = list(graph.stream(agents.ask, config, stream_mode=mode))
    wrapped = list(burnish.wrap(graph, agent="adder").stream(agents.ask, other, stream_mode=mode))

    assert plain(wrapped) == plain(_renamed(bare))
    assert len(journal.of(RunStarted)) == 1


def _renamed(value):
    """Thread "a" as thread "b"."""
    if isinstance(value, dict):
        return {key: "b" if key == "thread_id" else _renamed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_renamed(item) for item in value]
    return value


@pytest.mark.parametrize("mode", [["values", "updates", "messages"], "messages"])
async def test_async_streams_give_the_same_chunks(agents, journal, mode):
    graph = agents.adding_agent(parallel=False)

    bare = await collect(graph.astream(agents.ask, stream_mode=mode, subgraphs=True))
    wrapped = await collect(
        burnish.wrap(graph, agent="adder").astream(agents.ask, stream_mode=mode, subgraphs=True)
    )

    assert plain(wrapped) == plain(bare)
    assert len(journal.of(RunStarted)) == 1


async def test_events_are_the_same(agents, journal):
    graph = agents.adding_agent(parallel=False)

    bare = await collect(graph.astream_events(agents.ask, version="v2"))
    wrapped = await collect(
        burnish.wrap(graph, agent="adder").astream_events(agents.ask, version="v2")
    )

    assert plain(wrapped) == plain(bare)
    assert len(journal.of(RunStarted)) == 1


async def test_invoke_and_batch_give_the_same_results(agents, journal):
    graph = agents.adding_agent(parallel=False)
    wrapped = burnish.wrap(graph, agent="adder")

    assert plain(wrapped.invoke(agents.ask)) == plain(graph.invoke(agents.ask))
    assert plain(await wrapped.ainvoke(agents.ask)) == plain(await graph.ainvoke(agents.ask))
    assert plain(wrapped.batch([agents.ask] * 2)) == plain(graph.batch([agents.ask] * 2))
    assert plain(await wrapped.abatch([agents.ask] * 2)) == plain(
        await graph.abatch([agents.ask] * 2)
    )
    assert len(journal.of(RunStarted)) == 6


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


def test_an_interrupt_and_its_resume_give_the_same(journal):
    def ask(state):
        return {"words": [interrupt("who?")]}

    def build():
        builder = StateGraph(Words)
        builder.add_node("ask", ask)
        builder.add_edge(START, "ask")
        return builder.compile(checkpointer=InMemorySaver())

    config = {"configurable": {"thread_id": "t"}}
    results = []
    for graph in (build(), burnish.wrap(build(), agent="asker")):
        first = graph.invoke({"words": ["hi"]}, config)
        second = graph.invoke(Command(resume="me"), config)
        results.append((first.keys(), first["__interrupt__"][0].value, second))

    assert results[0] == results[1]


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
    assert journal.still_open() == set()


def test_a_chat_model_can_be_wrapped(journal):
    model = ScriptedChatModel(script=["yes"], repeat=True)

    wrapped = burnish.wrap(model, agent="model")

    assert isinstance(wrapped, ScriptedChatModel)
    assert wrapped.invoke("?").content == "yes"
    assert "".join(chunk.text for chunk in wrapped.stream("?")) == "yes"
    assert len(journal.of(RunStarted)) == 2
    assert journal.still_open() == set()


def test_the_original_stays_unrecorded(agents, journal):
    graph = agents.adding_agent()
    burnish.wrap(graph, agent="adder")

    graph.invoke(agents.ask)

    assert journal.events == []


def test_wrapping_twice_records_once_under_the_last_name(agents, journal):
    graph = burnish.wrap(burnish.wrap(agents.adding_agent(), agent="first"), agent="second")

    graph.invoke(agents.ask)

    assert [event.agent for event in journal.of(RunStarted)] == ["second"]


def test_a_graph_that_ran_before_is_recorded_once_wrapped(agents, journal):
    graph = agents.adding_agent()
    graph.invoke(agents.ask)

    burnish.wrap(graph, agent="adder").invoke(agents.ask)

    assert len(journal.of(RunStarted)) == 1


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
