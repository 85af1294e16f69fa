"""Route the model calls of LangChain's `create_agent` with a middleware."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.messages import SystemMessage

from burnish.adapters.prompt_store import SYSTEM
from burnish.langchain.given_prompts import are_prompts_given
from burnish.langchain.prompts import find_prompt
from burnish.langchain.routing import is_routed, route

_MODELS = 16


class RoutingMiddleware(AgentMiddleware):
    """Sends each model call to the version that serves an agent, with the system prompt of that version.

    The system prompt of `create_agent` is the default: it answers until a prompt version is promoted. Text that other
    middleware added around it stays.

    Args:
        agent: Name of the agent in the workspace.
        home: Folder of the workspace; by default that of the settings.
        prompt: Name of the prompt that the system message holds, for agents with several; None leaves it as it is.
    """

    def __init__(
        self, agent: str, home: Path | str | None = None, *, prompt: str | None = SYSTEM
    ) -> None:
        super().__init__()
        self.agent = agent
        self.home = home
        self.prompt = prompt
        self._routed: dict[int, tuple[Any, Any]] = {}
        self._lock = threading.Lock()

    def wrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]
    ) -> ModelResponse:
        """Replace model and system prompt of a call."""
        return handler(self._replace_model(self._replace_prompt(request)))

    async def awrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], Awaitable[ModelResponse]]
    ) -> ModelResponse:
        """Replace model and system prompt of a call."""
        return await handler(self._replace_model(self._replace_prompt(request)))

    def _replace_prompt(self, request: ModelRequest) -> ModelRequest:
        if self.prompt is None:
            return request
        version = find_prompt(self.agent, self.prompt, home=self.home)
        if version is None or self.prompt not in version.texts:
            return request
        text, default = version.texts[self.prompt], version.defaults.get(self.prompt)
        return request.override(system_message=_replace_text(request.system_message, default, text))

    def _replace_model(self, request: ModelRequest) -> ModelRequest:
        if is_routed(request.model) or are_prompts_given(self.agent):
            return request  # an evaluation chooses model and prompt
        with self._lock:
            given, routed = self._routed.get(id(request.model), (None, None))
            if given is not request.model:
                routed = route(request.model, agent=self.agent, home=self.home)
                while len(self._routed) >= _MODELS:
                    self._routed.pop(next(iter(self._routed)))
                self._routed[id(request.model)] = (request.model, routed)
        return request.override(model=routed)


def _replace_text(given: SystemMessage | None, default: str | None, text: str) -> SystemMessage:
    """Return a system message with a text in place of the default; all of it is replaced if it does not hold that."""
    if given is None or not default or default not in given.text:
        return SystemMessage(text)
    if isinstance(given.content, str):
        return given.model_copy(update={"content": given.content.replace(default, text)})
    blocks: list[Any] = []
    for block in given.content:
        if isinstance(block, dict) and default in str(block.get("text", "")):
            blocks.append({**block, "text": str(block["text"]).replace(default, text)})
        else:
            blocks.append(block.replace(default, text) if isinstance(block, str) else block)
    return given.model_copy(update={"content": blocks})
