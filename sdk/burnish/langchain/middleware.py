"""Route the model calls of LangChain's `create_agent` with a middleware."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse

from burnish.langchain.routing import is_routed, route

_MODELS = 16


class RoutingMiddleware(AgentMiddleware):
    """Sends each model call to the version that serves an agent.

    Args:
        agent: Name of the agent in the workspace.
        home: Folder of the workspace; by default that of the settings.
    """

    def __init__(self, agent: str, home: Path | str | None = None) -> None:
        super().__init__()
        self.agent = agent
        self.home = home
        self._routed: dict[int, tuple[Any, Any]] = {}
        self._lock = threading.Lock()

    def wrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]
    ) -> ModelResponse:
        """Replace the model of a call."""
        return handler(self._replace_model(request))

    async def awrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], Awaitable[ModelResponse]]
    ) -> ModelResponse:
        """Replace the model of a call."""
        return await handler(self._replace_model(request))

    def _replace_model(self, request: ModelRequest) -> ModelRequest:
        if is_routed(request.model):
            return request
        with self._lock:
            given, routed = self._routed.get(id(request.model), (None, None))
            if given is not request.model:
                routed = route(request.model, agent=self.agent, home=self.home)
                while len(self._routed) >= _MODELS:
                    self._routed.pop(next(iter(self._routed)))
                self._routed[id(request.model)] = (request.model, routed)
        return request.override(model=routed)
