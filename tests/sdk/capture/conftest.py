"""Agents of every shape, and a journal in memory that hears them."""

from typing import ClassVar

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from burnish.capture import faults
from burnish.testing import ScriptedChatModel, capturing


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def fail(reason: str) -> str:
    """Fail."""
    raise ValueError(reason)


def call(name, arguments, call_id):
    """An answer that calls one tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": call_id}])


def adding_script():
    """Two calls at once, then one, then the answer: 3 model and 3 tool calls."""
    return [
        AIMessage(
            "first",
            tool_calls=[
                {"name": "add", "args": {"a": 1, "b": 2}, "id": "c1"},
                {"name": "add", "args": {"a": 3, "b": 4}, "id": "c2"},
            ],
        ),
        call("add", {"a": 3, "b": 7}, "c3"),
        AIMessage("the sum is ten"),
    ]


def adding_agent(*, parallel=True, **options):
    script = adding_script()
    if not parallel:
        script[0].tool_calls.pop()

    def answer(messages):
        return script[sum(message.type == "ai" for message in messages) % 3]

    model = ScriptedChatModel(script=[answer], repeat=True)
    return create_agent(model, [add], system_prompt="Add.", **options)


ASK = {"messages": [("user", "what is 3 + 7?")]}


@pytest.fixture
def journal():
    with capturing() as memory:
        yield memory


@pytest.fixture(autouse=True)
def _fresh_counts():
    faults.forget()
    yield
    faults.forget()


@pytest.fixture
def agents():
    """The builders above, for test modules."""

    class Agents:
        ask = ASK
        tools: ClassVar = {"add": add, "fail": fail}

    for built in (adding_agent, adding_script, call):
        setattr(Agents, built.__name__, staticmethod(built))
    return Agents
