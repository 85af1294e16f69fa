"""The support agent: LangChain's `create_agent` over the tools of the desk that is open.

`build` joins prompt, tools and middleware; the caller chooses the model.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from desk import TOOLS, current
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import SystemMessage
from langchain_core.tools import BaseTool, StructuredTool

PROMPT = (
    "You are the {desk} agent. Look before you act, make no needless call, "
    "and answer with Done: or Sorry: and the fact."
)


@cache
def tools_of(desk: str) -> tuple[BaseTool, ...]:
    """Return a desk's tools for a model; a failure reaches it as a tool error and never stops the run."""
    return tuple(
        StructuredTool.from_function(
            tool,
            parse_docstring=True,
            handle_tool_error=True,
            handle_validation_error="bad arguments",
        )
        for tool in TOOLS[desk]
    )


class OpenDesk(AgentMiddleware):
    """Shows the model the prompt and the tools of the desk that is open, and no others."""

    def wrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]
    ) -> ModelResponse:
        """Narrow one model call."""
        return handler(_narrowed(request))

    async def awrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], Awaitable[ModelResponse]]
    ) -> ModelResponse:
        """Narrow one asynchronous model call."""
        return await handler(_narrowed(request))


def _narrowed(request: ModelRequest) -> ModelRequest:
    desk = current().name
    return request.override(
        system_message=SystemMessage(PROMPT.format(desk=desk)), tools=list(tools_of(desk))
    )


def build(model: BaseChatModel) -> Any:
    """Return the agent as a compiled graph.

    Args:
        model: Any chat model that can call tools.
    """
    everything = [tool for desk in TOOLS for tool in tools_of(desk)]
    return create_agent(model, tools=everything, middleware=[OpenDesk()])
