"""The support agent as a hand-written LangGraph graph.

`build` defines the flow from question to answer; tools and prompt are those of the support desk.

    START -> think -> (calls?) -> hands -> think -> ... -> END
    hands = START -> (changes something?) -> look | change -> END
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, SystemMessage, ToolCall, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph  # noqa: TID253 - a graph

sys.path.append(str(Path(__file__).resolve().parents[1] / "support_desk"))

from agent import PROMPT, tools_of
from desk import current

MAX_TURNS = 8

Update = dict[str, list[Any]]


def build(model: BaseChatModel) -> Any:
    """Return the agent as a compiled graph.

    Args:
        model: Any chat model that can call tools.
    """
    graph = StateGraph(MessagesState)
    graph.add_node("think", _think_with(model))
    graph.add_node("hands", _hands())
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", _next_step, {"hands": "hands", "answer": END})
    graph.add_edge("hands", "think")
    return graph.compile()


def _think_with(model: BaseChatModel) -> Any:
    def think(state: MessagesState) -> Update:
        desk = current().name
        bound = model.bind_tools(list(tools_of(desk)))
        prompt = SystemMessage(PROMPT.format(desk=desk))
        return {"messages": [bound.invoke([prompt, *state["messages"]])]}

    return think


def _next_step(state: MessagesState) -> str:
    turns = sum(isinstance(message, AIMessage) for message in state["messages"])
    return "hands" if _calls(state) and turns < MAX_TURNS else "answer"


def _calls(state: MessagesState) -> list[ToolCall]:
    """Return the calls of the model's last message."""
    last = state["messages"][-1]
    return last.tool_calls if isinstance(last, AIMessage) else []


def _hands() -> Any:
    """Return the sub-graph that runs the calls."""
    graph = StateGraph(MessagesState)
    graph.add_node("look", _carry_out)
    graph.add_node("change", _carry_out)
    graph.add_conditional_edges(START, _kind_of_call, ["look", "change"])
    graph.add_edge("look", END)
    graph.add_edge("change", END)
    return graph.compile()


def _kind_of_call(state: MessagesState) -> str:
    act = current().tool_names[-1]
    return "change" if any(c["name"] == act for c in _calls(state)) else "look"


def _carry_out(state: MessagesState) -> Update:
    tools = {tool.name: tool for tool in tools_of(current().name)}
    return {"messages": [_answer_to(tools, call) for call in _calls(state)]}


def _answer_to(tools: dict[str, Any], call: ToolCall) -> ToolMessage:
    if call["name"] in tools:
        return tools[call["name"]].invoke(call)
    return ToolMessage("unknown tool", tool_call_id=call["id"], name=call["name"], status="error")
