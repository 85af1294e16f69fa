"""Scenarios of several agents: hand-off, a supervisor, agents as nodes. Each call names its speaker."""

from __future__ import annotations

from typing import Annotated, Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from scenarios.agents import EMPTY, GO, State, call, graph_of
from scenarios.playing import scenario


@scenario({"first/first_agent/first/[scripted]": 1, "second/[scripted]": 1})
def a_hand_off_out_of_a_sub_graph(play):
    model = play.model("to second", "done")

    def first(state):
        model.invoke(state["messages"])
        return Command(goto="second", graph=Command.PARENT)

    def second(state):
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(State)
    builder.add_node("first", graph_of(first).compile(name="first_agent"), destinations=("second",))
    builder.add_node("second", second)
    builder.add_edge(START, "first")
    return play.wrap(builder.compile()).invoke(EMPTY)


def _hand_off(play: Any, to: str) -> Any:
    """Return a tool by which one agent hands the conversation to another."""

    @tool(f"to_{to}")
    def give(call_id: Annotated[str, InjectedToolCallId]) -> Command:
        """Hand off."""
        play.ran.append(f"to_{to}")
        told = ToolMessage(f"over to {to}", tool_call_id=call_id, id=f"told-{call_id}")
        return Command(goto=to, update={"messages": [told]}, graph=Command.PARENT)

    return give


@scenario(
    {
        "supervisor/supervisor/model/[scripted]": 3,
        "supervisor/supervisor/tools/to_researcher()": 1,
        "supervisor/supervisor/tools/to_writer()": 1,
        "researcher/researcher/model/[scripted]": 2,
        "researcher/researcher/tools/look()": 1,
        "writer/writer/model/[scripted]": 1,
    }
)
def a_supervisor_and_its_team(play):
    def look(at: str) -> str:
        return "facts"

    boss = play.model(call("to_researcher", {}, "h1"), call("to_writer", {}, "h2"), "all done")
    research = play.model(call("look", {"at": "x"}, "l1"), "found")
    members = [
        create_agent(research, [play.tool(look)], name="researcher"),
        create_agent(play.model("written"), [], name="writer"),
    ]
    supervisor = create_agent(
        boss, [_hand_off(play, "researcher"), _hand_off(play, "writer")], name="supervisor"
    )
    builder = StateGraph(MessagesState)
    builder.add_node("supervisor", supervisor, destinations=("researcher", "writer"))
    builder.add_edge(START, "supervisor")
    for member in members:
        builder.add_node(member.name, member)
        builder.add_edge(member.name, "supervisor")
    return play.wrap(builder.compile(), "team").invoke(GO)


@scenario({"alice/alice/model/[scripted]": 2, "alice/alice/tools/to_bob()": 1,
           "bob/bob/model/[scripted]": 1, "bob/bob/tools/to_alice()": 1})  # fmt: skip
async def peers_that_hand_off_to_each_other(play):
    alice = create_agent(
        play.model(call("to_bob", {}, "h1"), "good bye"), [_hand_off(play, "bob")], name="alice"
    )
    bob = create_agent(
        play.model(call("to_alice", {}, "h2")), [_hand_off(play, "alice")], name="bob"
    )
    builder = StateGraph(MessagesState)
    builder.add_node("alice", alice, destinations=("bob",))
    builder.add_node("bob", bob, destinations=("alice",))
    builder.add_edge(START, "alice")
    return await play.wrap(builder.compile(), "peers").ainvoke(GO)


@scenario({"node/inner/model/[scripted]": 1, "node/[scripted]": 1})
def a_wrapped_agent_inside_a_node(play):
    inner = play.wrap(create_agent(play.model("inner said"), []), "inner")
    model = play.model("outer said")

    def node(state):
        said = inner.invoke(GO)["messages"][-1]
        return {"messages": [said, model.invoke("and?")]}

    return play.wrap(graph_of(node).compile(), "outer").invoke(EMPTY)


@scenario({"model/[scripted]": 1})
def a_wrapped_agent_as_a_node_of_a_bare_graph(play):
    inner = play.wrap(create_agent(play.model(AIMessage("said", id="a")), []), "inner")
    builder = StateGraph(MessagesState)
    builder.add_node("inner", inner)
    builder.add_edge(START, "inner")
    return builder.compile().invoke(GO)
