"""Take over the calls of LangChain tools while an environment is open.

How it works: `BaseTool.run` and `arun` ask the context for an interceptor. If there is one and it answers for the tool,
a stand-in of the same name and schema runs in its place, so that validation, callbacks and the form of the result stay
those of LangChain. The two methods are public and replaced once in a process; without an interceptor they call the
originals. Code outside LangChain tools is not seen.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from langchain_core.tools import BaseTool
from pydantic import PrivateAttr

Answer = Callable[[], Any]


class ToolInterceptor(Protocol):
    """Decides which calls of tools are answered without the tool."""

    def answer_for(self, tool: str, arguments: Any) -> Answer | None:
        """Return a function that answers the call; None lets the tool run."""
        ...


interceptor: ContextVar[ToolInterceptor | None] = ContextVar(
    "burnish_tool_interceptor", default=None
)
"""The interceptor of the running attempt."""

_installing = threading.Lock()


class RecordedTool(BaseTool):
    """A tool that answers with what was recorded."""

    _answer: Answer = PrivateAttr()

    def answer_with(self, answer: Answer) -> None:
        """Set the function that answers the call."""
        self._answer = answer

    def _run(self, *_: Any, **__: Any) -> Any:
        found = self._answer()
        return (found, None) if self.response_format == "content_and_artifact" else found


def install_interception() -> None:
    """Let the tools of this process ask for an interceptor; repeated calls change nothing."""
    with _installing:
        if hasattr(BaseTool.run, "__burnish_original__"):
            return
        original_run, original_arun = BaseTool.run, BaseTool.arun

        @functools.wraps(original_run)
        def run(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
            return original_run(_stand_in(self, tool_input), tool_input, *args, **kwargs)

        @functools.wraps(original_arun)
        async def arun(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
            return await original_arun(_stand_in(self, tool_input), tool_input, *args, **kwargs)

        for method, original in ((run, original_run), (arun, original_arun)):
            setattr(method, "__burnish_original__", original)  # noqa: B010 - functions declare no such attribute
        BaseTool.run, BaseTool.arun = run, arun


def remove_interception() -> None:
    """Put the original methods back."""
    with _installing:
        for name in ("run", "arun"):
            original = getattr(getattr(BaseTool, name), "__burnish_original__", None)
            if original is not None:
                setattr(BaseTool, name, original)


def _stand_in(tool: BaseTool, tool_input: Any) -> BaseTool:
    """Return the tool, or a stand-in if the interceptor of the context answers this call."""
    found = interceptor.get()
    if found is None or isinstance(tool, RecordedTool):
        return tool
    answer = found.answer_for(tool.name, select_arguments(tool, tool_input))
    if answer is None:
        return tool
    copy = RecordedTool(
        name=tool.name,
        description=tool.description,
        args_schema=tool.args_schema,
        return_direct=tool.return_direct,
        response_format=tool.response_format,
        handle_tool_error=tool.handle_tool_error,
        handle_validation_error=tool.handle_validation_error,
        callbacks=tool.callbacks,
        tags=tool.tags,
        metadata=tool.metadata,
    )
    copy.answer_with(answer)
    return copy


def select_arguments(tool: BaseTool, tool_input: Any) -> Any:
    """Return the arguments that the model gave, without those that LangGraph injects."""
    if not isinstance(tool_input, dict):
        return tool_input
    schema: Any = tool.tool_call_schema
    fields = schema.get("properties") if isinstance(schema, dict) else schema.model_fields
    return {name: value for name, value in tool_input.items() if name in (fields or {})}
