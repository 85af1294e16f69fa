"""A graph gets no run id from burnish; the run that starts where it was invoked is its own."""

import asyncio
import uuid
from typing import TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

import burnish
from burnish.capture import faults
from burnish.capture.recorder.runs import registry
from burnish.journal.events import NodeStarted, RunEnded, RunStarted
from burnish.testing import production_faults


class Seen(TypedDict, total=False):
    run_id: str | None


def seeing_graph():
    def see(state: Seen, runtime: Runtime) -> Seen:
        return {"run_id": runtime.execution_info.run_id}

    builder = StateGraph(Seen)
    builder.add_node("see", see)
    builder.add_edge(START, "see")
    builder.add_edge("see", END)
    return builder.compile()


WAYS = {
    "invoke": lambda graph, config: graph.invoke({}, config),
    "ainvoke": lambda graph, config: asyncio.run(graph.ainvoke({}, config)),
    "stream": lambda graph, config: list(graph.stream({}, config)),
    "batch": lambda graph, config: graph.batch([{}], config),
    "transform": lambda graph, config: list(graph.transform(iter([{}]), config)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("given", [None, uuid.UUID(int=7)], ids=["no id", "an id"])
def test_nodes_see_the_run_id_that_the_caller_gave(journal, way, given):
    config = {} if given is None else {"run_id": given}
    graph = seeing_graph()

    assert way(burnish.wrap(graph, agent="seeing"), config) == way(graph, config)
    assert {event.status for event in journal.of(RunEnded)} == {"completed"}
    assert {event.name for event in journal.of(NodeStarted)} == {"see"}


def test_a_graph_that_never_starts_leaves_the_next_run_alone(journal):
    chain = RunnableLambda(lambda value: value + 1)

    with pytest.raises(AttributeError):
        burnish.wrap(seeing_graph(), agent="seeing").invoke({}, {"callbacks": 5})
    assert chain.invoke(1) == 2

    assert [event.status for event in journal.of(RunEnded)] == ["failed"]
    assert journal.of(NodeStarted) == []
    assert registry.runs == {}


def test_a_stream_that_is_refused_leaves_the_next_run_alone(journal):
    wrapped = burnish.wrap(seeing_graph(), agent="seeing")

    async def refused_then_run():
        with pytest.raises(TypeError):
            async for _ in wrapped.astream({"run_id": "refused"}, None, "a mode by its place"):
                pass
        await wrapped.ainvoke({"run_id": "asked"})

    asyncio.run(refused_then_run())

    assert [event.status for event in journal.of(RunEnded)] == ["failed", "completed"]
    started = journal.of(RunStarted)
    assert [journal.value(event.input)["run_id"] for event in started] == ["refused", "asked"]
    assert journal.of(NodeStarted)[0].trajectory == started[1].trajectory
    assert registry.active == 0


def test_a_graph_with_a_memory_that_is_refused_leaves_no_trajectory_open(journal):
    graph = seeing_graph()
    graph.checkpointer = InMemorySaver()
    config = {"callbacks": 5, "configurable": {"thread_id": "t"}}

    with production_faults(), pytest.raises(AttributeError):
        burnish.wrap(graph, agent="seeing").invoke({}, config)

    assert registry.active == 0
    assert journal.events == []


def test_a_run_id_that_is_text_is_the_same_id(journal):
    given = "0190b7a0-0000-7000-8000-000000000007"

    seen = burnish.wrap(seeing_graph(), agent="seeing").invoke({}, {"run_id": given})

    assert seen == {"run_id": given}
    assert [event.status for event in journal.of(RunEnded)] == ["completed"]
    assert [event.name for event in journal.of(NodeStarted)] == ["see"]


def test_a_run_id_that_names_nothing_is_counted_and_the_graph_runs(journal):
    with production_faults():
        seen = burnish.wrap(seeing_graph(), agent="seeing").invoke({}, {"run_id": "mine"})

    assert seen == {"run_id": "mine"}
    assert journal.events == []
    assert faults.counts()["enter: ValueError"] > 0


class Guard(BaseCallbackHandler):
    """Runs something else each time that a graph starts, before the graph is known."""

    def __init__(self, runnable):
        self.runnable = runnable
        self.busy = False

    def on_chain_start(self, *_, parent_run_id=None, **__):
        if parent_run_id is None and not self.busy:
            self.busy = True
            self.runnable.invoke({"run_id": "guard"})
            self.busy = False


def test_what_another_handler_runs_as_a_graph_starts_is_not_taken_for_it(journal):
    graph = burnish.wrap(seeing_graph(), agent="guarded")

    graph.invoke({}, {"callbacks": [Guard(RunnableLambda(lambda value: value))]})

    (started,) = journal.of(RunStarted)
    assert [event.name for event in journal.of(NodeStarted)] == ["see"]
    assert journal.of(NodeStarted)[0].parent == started.span


def test_a_wrapped_graph_that_a_handler_runs_is_a_trajectory_of_its_own(journal):
    graph = burnish.wrap(seeing_graph(), agent="guarded")
    guard = burnish.wrap(seeing_graph(), agent="guard")

    graph.invoke({}, {"callbacks": [Guard(guard)]})

    agents = {event.trajectory: event.agent for event in journal.of(RunStarted)}
    assert sorted(agents.values()) == ["guard", "guarded"]
    assert {event.trajectory for event in journal.of(NodeStarted)} == set(agents)
    assert {event.status for event in journal.of(RunEnded)} == {"completed"}
    assert registry.runs == {}


class Prepared(CompiledStateGraph):
    """Runs something else before it runs itself."""

    def invoke(self, asked, config=None, **kwargs):
        prepared = RunnableLambda(lambda value: value).invoke(asked)
        return super().invoke(prepared, config, **kwargs)


def test_what_a_graph_of_another_kind_runs_first_is_not_taken_for_it(journal):
    graph = seeing_graph()
    graph.__class__ = Prepared

    burnish.wrap(graph, agent="prepared").invoke({})

    assert [event.entry for event in journal.of(RunStarted)] == ["invoke Prepared"]
    assert [event.name for event in journal.of(NodeStarted)] == ["see"]


def test_a_graph_that_runs_itself_in_a_node_is_a_part_of_the_run(journal):
    def descend(state: Seen) -> Seen:
        return wrapped.invoke({"run_id": "deep"}) if state.get("run_id") != "deep" else {}

    builder = StateGraph(Seen)
    builder.add_node("descend", descend)
    builder.add_edge(START, "descend")
    wrapped = burnish.wrap(builder.compile(), agent="diver")

    assert wrapped.invoke({}) == {"run_id": "deep"}

    assert len(journal.of(RunStarted)) == 1
    assert [event.name for event in journal.of(NodeStarted)] == ["descend", "diver", "descend"]
    assert journal.list_open_spans() == set()
