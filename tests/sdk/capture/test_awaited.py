"""A graph is given no run id of ours; the run that starts where it was invoked is its own."""

import asyncio
import uuid
from typing import TypedDict

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

import burnish
from burnish.capture.live import registry
from burnish.journal.events import NodeStarted, RunEnded, RunStarted


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
    assert journal.still_open() == set()
