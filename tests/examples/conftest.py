"""The example projects on the import path, and a chat model that follows a script."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
for folder in ("raw_graph", "support_desk"):
    sys.path.insert(0, str(EXAMPLES / folder))

import desk  # noqa: E402 - here, so that the tests import this one, even if another is loaded later


class ScriptedModel(BaseChatModel):
    """Makes the calls of a solution one after another, then gives its answer; keeps its requests."""

    way: Any
    requests: list[Any]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **settings: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: Any = None,
        run_manager: Any = None,
        **settings: Any,
    ) -> ChatResult:
        self.requests.append((convert_to_openai_messages(messages), settings["tools"]))
        turn = sum(isinstance(message, AIMessage) for message in messages)
        if turn < len(self.way.calls):
            name, arguments = self.way.calls[turn]
            call = {"name": name, "args": arguments, "id": f"call_{turn}"}
            reply = AIMessage("", tool_calls=[call])
        else:
            reply = AIMessage(self.way.answer)
        return ChatResult(generations=[ChatGeneration(message=reply)])


@pytest.fixture
def scripted():
    """Makes a chat model that follows a solution of the starter's demonstrations."""
    return lambda way: ScriptedModel(way=way, requests=[])


@pytest.fixture
def world():
    """An environment that is closed after the test."""
    environment = desk.Environment()
    yield environment
    environment.close()
