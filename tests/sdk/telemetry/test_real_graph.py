"""A real LangGraph agent, shipped to a real receiver: both sides have the same data."""

from __future__ import annotations

import contextlib

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from shipped_copies import comparable

import burnish
from burnish.testing import ScriptedChatModel
from burnish.trajectories import assemble
from burnish.workspace import Workspace


@tool
def find_order(number: str) -> dict:
    """Find an order."""
    return {"number": number, "weight": 2**70, "note": "\ud800", "gone": None}


@tool
def break_down(reason: str) -> str:
    """Fail."""
    raise ValueError(reason)


@tool
def ask_person(question: str) -> str:
    """Ask a person."""
    return interrupt(question)


def calls(name, arguments, call_id):
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": call_id}])


def test_a_real_agent_is_the_same_in_the_journal_and_behind_otlp(tmp_path, collector, configured):
    configured(otlp_endpoint=collector.url)
    script = [
        calls("find_order", {"number": "7"}, "c1"),
        "it weighs a lot",
        calls("ask_person", {"question": "send?"}, "c2"),
        "sent",
        calls("break_down", {"reason": "no stock"}, "c3"),
    ]
    graph = burnish.wrap(
        create_agent(
            ScriptedChatModel(script=script),
            [find_order, break_down, ask_person],
            checkpointer=InMemorySaver(),
        ),
        agent="desk",
    )

    def config(thread):
        return {"configurable": {"thread_id": thread}}

    graph.invoke({"messages": [("user", "where is 7?")]}, config("t-1"))
    graph.invoke({"messages": [("user", "send it")]}, config("t-2"))
    graph.invoke(Command(resume="yes"), config("t-2"))
    with contextlib.suppress(ValueError):
        graph.invoke({"messages": [("user", "break")]}, config("t-3"))
    burnish.outcome(thread_id="t-1", success=True, source="crm")

    assert burnish.flush(20) == 0
    own = list(Workspace(tmp_path).trajectories())
    assert comparable(assemble(collector.spans())) == comparable(own)
    assert [t.status for t in own] == ["completed", "completed", "failed"]
    assert [len(t.model_calls) for t in own] == [2, 2, 1]
    assert [t.losses for t in own] == [{}, {}, {}]
    assert own[0].outcomes[0].source == "crm"
    assert own[0].tool_runs[0].name == "find_order"
    assert len({t.task_id for t in own}) == 3
    assert own[0].model_calls[0].tools[0]["name"] == "find_order"
