"""Provide a LangChain chat model that answers from a script, without a network."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr

Answer = AIMessage | str | BaseException | Callable[[list[BaseMessage]], Any]


class ScriptedChatModel(BaseChatModel):
    """Answers with the next item of its script, once through or repeatedly.

    An item is a message, a text, an exception to raise, or a function of the messages.
    """

    script: list[Any] = Field(default_factory=list)
    repeat: bool = False
    streaming: bool = False
    model: str = "scripted"
    temperature: float | None = None
    _next: int = PrivateAttr(default=0)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "temperature": self.temperature}

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Bind tools, in OpenAI's form."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _take_item(self) -> Any:
        with self._lock:
            place = self._next % len(self.script) if self.repeat else self._next
            self._next += 1
        if place >= len(self.script):
            raise IndexError(
                f"the script has {len(self.script)} answers, and one more was requested"
            )
        return self.script[place]

    def _next_message(self, messages: list[BaseMessage]) -> AIMessage:
        item: Any = self._take_item()
        if callable(item):
            item = item(messages)
        return _copy_message(item)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next_message(messages))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        item: Any = self._take_item()
        if callable(item):
            item = item(messages)
        if asyncio.iscoroutine(item):
            item = await item
        return ChatResult(generations=[ChatGeneration(message=_copy_message(item))])

    def _split_into_chunks(self, answer: AIMessage) -> Iterator[ChatGenerationChunk]:
        words = answer.text.split(" ") if answer.text else [""]
        for place, word in enumerate(words):
            last = place == len(words) - 1
            chunk = AIMessageChunk(
                content=word if last else f"{word} ",
                tool_call_chunks=_make_call_chunks(answer) if last else [],
                response_metadata=answer.response_metadata if last else {},
                usage_metadata=answer.usage_metadata if last else None,
                id=answer.id,
            )
            yield ChatGenerationChunk(message=chunk)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._split_into_chunks(self._next_message(messages)):
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        result = await self._agenerate(messages, stop, None, **kwargs)
        message = result.generations[0].message
        assert isinstance(message, AIMessage)  # noqa: S101 - _agenerate makes no other
        for chunk in self._split_into_chunks(message):
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


def _copy_message(item: Any) -> AIMessage:
    """Copy a message, so that its receiver cannot change a repeated answer."""
    if isinstance(item, BaseException):
        raise item
    return AIMessage(item) if isinstance(item, str) else item.model_copy(deep=True)


def _make_call_chunks(answer: AIMessage) -> list[Any]:
    return [
        {
            "name": call["name"],
            "args": json.dumps(call["args"]),
            "id": call["id"],
            "index": place,
            "type": "tool_call_chunk",
        }
        for place, call in enumerate(answer.tool_calls)
    ]
