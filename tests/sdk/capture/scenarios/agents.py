"""Small agents with fixed scripts that many tests share."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

from burnish.testing import ScriptedChatModel

ASK = {"messages": [("user", "what is 3 + 7?")]}
GO = {"messages": [("user", "go")]}
EMPTY = {"messages": [("user", "go")], "notes": []}


class State(TypedDict):
    messages: Annotated[list, add_messages]
    notes: Annotated[list, operator.add]


def graph_of(*nodes: Any, **options: Any) -> StateGraph:
    """Nodes one after the other."""
    builder = StateGraph(State)
    before = START
    for node in nodes:
        builder.add_node(node.__name__, node, **options)
        builder.add_edge(before, node.__name__)
        before = node.__name__
    builder.add_edge(before, END)
    return builder


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def fail(reason: str) -> str:
    """Fail."""
    raise ValueError(reason)


def call(name: str, arguments: dict[str, Any], call_id: str = "c") -> AIMessage:
    """Return a reply that calls one tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": call_id}])


def adding_script() -> list[AIMessage]:
    """Return two calls at once, then one, then the answer: 3 model and 3 tool calls."""
    first = AIMessage(
        "first",
        tool_calls=[
            {"name": "add", "args": {"a": 1, "b": 2}, "id": "c1"},
            {"name": "add", "args": {"a": 3, "b": 4}, "id": "c2"},
        ],
    )
    return [first, call("add", {"a": 3, "b": 7}, "c3"), AIMessage("the sum is ten")]


def adding_answers(parallel: bool = True) -> Any:
    """Return answers by the length of the conversation, so that one model serves many runs."""
    script = adding_script()
    if not parallel:
        script[0].tool_calls.pop()
    return lambda messages: script[sum(message.type == "ai" for message in messages) % 3]


def adding_agent(*, parallel: bool = True, **options: Any) -> Any:
    """Return an agent that adds, without witnesses."""
    model = ScriptedChatModel(script=[adding_answers(parallel)], repeat=True)
    return create_agent(model, [add], system_prompt="Add.", **options)


def witnessed_adder(play: Any, *, parallel: bool = True, **options: Any) -> Any:
    """Return the same agent in a play."""

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        get_stream_writer()({"adding": [a, b]})
        return a + b

    model = play.model(adding_answers(parallel), repeat=True)
    return create_agent(model, [play.tool(add)], system_prompt="Add.", **options)
