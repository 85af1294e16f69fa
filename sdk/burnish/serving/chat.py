"""Provide a LangChain chat model over the embedded engine.

`EmbeddedChat` converts LangChain's calls (tools, streaming, async) to requests of the engine. The
version to use is chosen by the router (`burnish.langchain`).

`adapter=None` is the base model. An adapter that cannot be found raises; it is never replaced by
another. `tool_choice="none"` hides the tools; other choices are recorded, but the engine cannot
force a tool call, so the agent receives the model's own choice.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import queue
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

from burnish.errors import ServingError, UnknownAdapter
from burnish.serving.embedded.engine import Engine
from burnish.serving.embedded.requests import AnswerFuture
from burnish.serving.embedded.sampling import Sampling
from burnish.serving.embedded.session import ChatAsk, FinishedAnswer, ReplyStream, Session
from burnish.serving.http.request_options import SAMPLING, sampling_of_body
from burnish.serving.messages import from_langchain
from burnish.serving.toolcalls.reply_parser import ParsedCall, ReplyPiece
from burnish.serving.versions import find_version

_END = -1  # marks the end of a stream's queue


class EmbeddedChat(BaseChatModel):
    """Chat with a base model, or an adapter version of it, inside this process.

    Example:
        `EmbeddedChat("starter", adapter="support@0a1b2c3d4e5f").invoke("Hello")`
    """

    base_model: str
    """A folder, a name such as "starter", or a model of the local model cache."""
    adapter: str | None = None
    """A loaded version, a version of the workspace, or a folder; None is the base model."""
    temperature: float = 0.0
    """0 chooses the likeliest token each time."""
    max_tokens: int = 512
    """Largest number of tokens of an answer, which ends a model that never stops."""
    seed: int | None = None
    """Seeds the random numbers, together with the prompt; None draws new numbers each time."""
    top_p: float = 1.0
    """Share of the probability that tokens are drawn from."""
    next_seed: Callable[[], int | None] | None = Field(default=None, exclude=True)
    """Returns the seed of each call; None means the seed above."""

    def __init__(self, base_model: str, adapter: str | None = None, **settings: Any) -> None:
        settings |= {"base_model": base_model, "adapter": adapter}
        super().__init__(**settings)

    @property
    def model_name(self) -> str:
        """Return the adapter version, else the base model."""
        return self.adapter or self.base_model

    @property
    def _llm_type(self) -> str:
        return "burnish-embedded"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model_name": self.model_name,
            "base_model": self.base_model,
            "adapter": self.adapter,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return LangSmithParams(
            ls_provider="burnish",
            ls_model_name=kwargs.get("adapter", self.adapter) or self.base_model,
            ls_model_type="chat",
            ls_temperature=kwargs.get("temperature", self.temperature),
            ls_max_tokens=kwargs.get("max_tokens", self.max_tokens),
        )

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools to the model, in any form that LangChain accepts."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        session, ask = self._session(), self._ask(messages, stop, kwargs)
        answer = _submit_call(session, ask).result()
        return self._result(session.finish_answer(answer, ask))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        ask = self._ask(messages, stop, kwargs)
        session = await self._session_off_loop(ask.adapter)
        answer = await asyncio.wrap_future(_submit_call(session, ask))
        return self._result(session.finish_answer(answer, ask))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        session, ask = self._session(), self._ask(messages, stop, kwargs)
        tokens: queue.SimpleQueue[int] = queue.SimpleQueue()
        future = _submit_call(session, ask, tokens.put)
        future.add_done_callback(lambda _: tokens.put(_END))
        stream = ChunkStream(session, ask)
        try:
            while (token := tokens.get()) != _END:
                for chunk in stream.feed(token):
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
            for chunk in self._last_chunks(stream, future):
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        finally:
            future.cancel()  # an abandoned stream stops generating

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        ask = self._ask(messages, stop, kwargs)
        session = await self._session_off_loop(ask.adapter)
        loop, tokens = asyncio.get_running_loop(), asyncio.Queue[int]()

        def tell(token: int) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(tokens.put_nowait, token)

        future = _submit_call(session, ask, tell)
        future.add_done_callback(lambda _: tell(_END))
        stream = ChunkStream(session, ask)
        try:
            while (token := await tokens.get()) != _END:
                for chunk in stream.feed(token):
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
            for chunk in self._last_chunks(stream, future):
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        finally:
            future.cancel()

    def _session(self) -> Session:
        return _session(self.base_model)

    async def _session_off_loop(self, adapter: str | None) -> Session:
        """Return the session; load the adapter in another thread."""
        known = Engine.find_shared(self.base_model)
        if known is None:
            await asyncio.to_thread(self._session)
        session = self._session()
        if adapter is not None and adapter not in session.engine:
            await asyncio.to_thread(session.engine.ensure_loaded, adapter)
        return session

    def _ask(self, messages: list[BaseMessage], stop: Any, given: dict[str, Any]) -> ChatAsk:
        """Build the request of this call; the call's own settings override the model's."""
        tools = given.get("tools") or ()
        response_format = given.get("response_format")
        if response_format is not None:
            raise ServingError(
                "response_format was given to the embedded engine",
                "structured output by tools",
                'with_structured_output(schema, method="function_calling")',
            )
        return ChatAsk(
            messages=from_langchain(messages),
            tools=() if given.get("tool_choice") == "none" else tools,
            adapter=given.get("adapter", self.adapter),
            max_tokens=given.get("max_tokens", self.max_tokens),
            sampling=self._sampling(given),
            stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        )

    def _sampling(self, given: dict[str, Any]) -> Sampling:
        """Return the sampling settings of a call: its own, else the model's."""
        own = {"temperature": self.temperature, "top_p": self.top_p, "seed": self.seed}
        asked = {name: value for name, value in given.items() if name in SAMPLING}
        if self.next_seed is not None and asked.get("seed") is None:
            asked["seed"] = self.next_seed()
        return sampling_of_body({**own, **asked})

    def _result(self, finished: FinishedAnswer) -> ChatResult:
        reply = finished.reply
        message = AIMessage(
            content=reply.content,
            additional_kwargs=_reasoning_fields(reply.reasoning),
            response_metadata=self._metadata(finished),
            tool_calls=[
                tool_call(name=call.name or "", args=call.arguments, id=call.id)
                for call in reply.calls
                if call.arguments is not None
            ],
            invalid_tool_calls=[
                invalid_tool_call(name=call.name, args=call.raw, id=call.id, error=None)
                for call in reply.calls
                if call.arguments is None
            ],
            usage_metadata=_usage_of_answer(finished),
        )
        return ChatResult(
            generations=[ChatGeneration(message=message)],
            llm_output={"model_name": message.response_metadata["model_name"]},
        )

    def _last_chunks(
        self, stream: ChunkStream, future: AnswerFuture
    ) -> Iterator[ChatGenerationChunk]:
        """Yield the remaining chunks of a stream, with the facts that its end provides."""
        if future.cancelled():
            return
        answer = future.result()
        yield from stream.close()
        finished = stream.finished(answer)
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                response_metadata=self._metadata(finished),
                usage_metadata=_usage_of_answer(finished),
                chunk_position="last",
            )
        )

    def _metadata(self, finished: FinishedAnswer) -> dict[str, Any]:
        answer = finished.answer
        errors = {call.id: call.error for call in finished.reply.calls if call.error}
        return {
            "model_name": answer.adapter or self.base_model,
            "model_provider": "burnish",
            "finish_reason": finished.finish_reason,
            "burnish": {
                "adapter": answer.adapter,
                "arm": None,
                "base_model": self.base_model,
                "prompt_token_ids": answer.prompt_token_ids,
                "token_ids": answer.token_ids,
                "logprobs": answer.logprobs,
                **({"tool_call_errors": errors} if errors else {}),
            },
        }


class ChunkStream:
    """Converts the tokens of an answer to LangChain's chunks."""

    def __init__(self, session: Session, ask: ChatAsk) -> None:
        self._session = session
        self._ask = ask
        self._stream = ReplyStream(session, ask)
        self._calls = 0

    def feed(self, token: int) -> list[ChatGenerationChunk]:
        """Add a token; return the complete chunks."""
        return [self._chunk(piece) for piece in self._stream.add_token(token)]

    def close(self) -> list[ChatGenerationChunk]:
        """Return the remaining chunks."""
        return [self._chunk(piece) for piece in self._stream.close()]

    def finished(self, answer: Any) -> FinishedAnswer:
        """Return the answer with the streamed reply, including its call ids."""
        return FinishedAnswer(answer=answer, text="", reply=self._stream.reply)

    def _chunk(self, piece: ReplyPiece) -> ChatGenerationChunk:
        if piece.kind == "reasoning":
            message = AIMessageChunk(content="", additional_kwargs=_reasoning_fields(piece.text))
        elif piece.call is not None:
            message = AIMessageChunk(content="", tool_call_chunks=[self._call(piece.call)])
        else:
            message = AIMessageChunk(content=piece.text)
        return ChatGenerationChunk(message=message)

    def _call(self, call: ParsedCall) -> Any:
        arguments = call.raw if call.arguments is None else json.dumps(call.arguments)
        self._calls += 1
        return tool_call_chunk(name=call.name, args=arguments, id=call.id, index=self._calls - 1)


@functools.lru_cache(maxsize=64)
def _session_of(engine: Engine) -> Session:
    return Session(engine.facts.folder, engine)


def _session(base_model: str) -> Session:
    return _session_of(Engine.shared(base_model))


def _submit_call(
    session: Session, ask: ChatAsk, on_token: Callable[[int], None] | None = None
) -> AnswerFuture:
    """Queue a call; load a missing adapter from the workspace, or raise."""
    request = session.make_request(ask, on_token)
    if ask.adapter is None:
        return session.engine.submit_request(request)
    for _ in range(3):
        try:
            version = session.engine.ensure_loaded(ask.adapter)
            return session.engine.submit_request(dataclasses.replace(request, adapter=version))
        except UnknownAdapter:  # unloaded between the two lines, or missing
            if find_version(ask.adapter) is None:
                raise
    return session.engine.submit_request(request)


def _reasoning_fields(text: str) -> dict[str, Any]:
    return {"reasoning_content": text} if text else {}


def _usage_of_answer(finished: FinishedAnswer) -> UsageMetadata:
    asked, written = len(finished.answer.prompt_token_ids), len(finished.answer.token_ids)
    return UsageMetadata(input_tokens=asked, output_tokens=written, total_tokens=asked + written)
