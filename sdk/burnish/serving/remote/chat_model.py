"""Provide the LangChain chat model of a server: vLLM, `burnish serve`, any compatible endpoint.

`RemoteChat` handles the server's name for the model, its token, a client per event loop, token ids
if the server returns them, and a seed for each call. The router chooses the version.

    chat = make_remote_chat("http://127.0.0.1:8000", base_model="starter", adapter=None)
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import lru_cache
from typing import Any

import openai
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import Field, PrivateAttr

from burnish.errors import UnreadableReply
from burnish.serving.remote.endpoint import Endpoint, server_token
from burnish.serving.remote.loop_transport import make_async_client
from burnish.serving.remote.replies import (
    explain_decoding_error,
    require_completion,
    unreadable_reply,
)

NextSeed = Callable[[], int | None]
RETRIES = 4
"""Further tries of the OpenAI client, which honours Retry-After."""
_TIMEOUT_S = 300.0
_IDS_FIELD = "return_token_ids"
_UNKNOWN_FIELD = (400, 422)


class RemoteChat(ChatOpenAI):
    """Chat with the base model of a server, or with an adapter version that it serves."""

    base_model: str | None = None
    """The base model as named in burnish.toml; None is the first that the server lists."""
    adapter: str | None = None
    """The version that answers; None is the base model."""
    next_seed: NextSeed | None = Field(default=None, exclude=True)
    """Returns the seed of each call; None means the model's own seed."""

    _endpoint: Endpoint = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Find the endpoint that all clients of this address share."""
        super().model_post_init(context)
        self._endpoint = Endpoint.shared(str(self.openai_api_base))

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        named = self._named(kwargs, self._served_name())
        for asked in self._variants(named):
            try:
                return super()._generate(messages, stop=stop, run_manager=run_manager, **asked)
            except openai.APIStatusError as error:
                if not self._learns(error, asked):
                    raise
            except ValueError as error:
                self._require_readable(error)
                raise
        raise AssertionError("the last variant returns or raises")

    async def _agenerate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        named = self._named(kwargs, await self._aserved_name())
        for asked in self._variants(named):
            try:
                return await super()._agenerate(
                    messages, stop=stop, run_manager=run_manager, **asked
                )
            except openai.APIStatusError as error:
                if not self._learns(error, asked):
                    raise
            except ValueError as error:
                self._require_readable(error)
                raise
        raise AssertionError("the last variant returns or raises")

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        named = self._named(kwargs, self._served_name())
        for asked in self._variants(named):
            chunks = 0
            try:
                for chunk in super()._stream(*args, **asked):
                    chunks += 1
                    yield chunk
            # before the first chunk: the caller has received nothing
            except openai.APIStatusError as error:
                if not self._learns(error, asked):
                    raise
            except json.JSONDecodeError as error:
                raise self._broken_stream(error.doc) from error
            else:
                if not chunks:
                    raise self._broken_stream("")
                return

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        named = self._named(kwargs, await self._aserved_name())
        for asked in self._variants(named):
            chunks = 0
            try:
                async for chunk in super()._astream(*args, **asked):
                    chunks += 1
                    yield chunk
            except openai.APIStatusError as error:
                if not self._learns(error, asked):
                    raise
            except json.JSONDecodeError as error:
                raise self._broken_stream(error.doc) from error
            else:
                if not chunks:
                    raise self._broken_stream("")
                return

    def _create_chat_result(self, response: Any, generation_info: Any = None) -> ChatResult:
        require_completion(self._endpoint.address, response)
        return super()._create_chat_result(response, generation_info)

    def _require_readable(self, error: ValueError) -> None:
        """Raise in place of an error of the client if the answer is not a completion."""
        found = explain_decoding_error(self._endpoint.address, error)
        if found is not None:
            raise found from error

    def _broken_stream(self, told: str) -> UnreadableReply:
        return unreadable_reply(self._endpoint.address, f"a stream without chunks {told}")

    def _served_name(self) -> str:
        return self.adapter or self._endpoint.served_name(self.base_model)

    async def _aserved_name(self) -> str:
        """Return the server's name for the model without blocking the event loop."""
        if self.adapter is not None:
            return self.adapter
        return await asyncio.to_thread(self._endpoint.served_name, self.base_model)

    def _named(self, kwargs: dict[str, Any], name: str) -> dict[str, Any]:
        named = {"model": name, **kwargs}
        if self.next_seed is not None and named.get("seed") is None:
            named["seed"] = self.next_seed()
        return named

    def _variants(self, kwargs: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the request with the fields that request token ids, then without them."""
        if self._endpoint.takes(_IDS_FIELD):
            body = {_IDS_FIELD: True, **(kwargs.get("extra_body") or self.extra_body or {})}
            yield {"logprobs": True, **kwargs, "extra_body": body}
        yield kwargs

    def _learns(self, error: openai.APIStatusError, asked: dict[str, Any]) -> bool:
        """Return whether the error refuses the added fields; all clients remember it."""
        added = _IDS_FIELD in (asked.get("extra_body") or {})
        text = str(error)
        refuses = error.status_code in _UNKNOWN_FIELD and (
            _IDS_FIELD in text or "logprobs" in text or "extra" in text.lower()
        )
        if added and refuses:
            self._endpoint.refused(_IDS_FIELD)
        return added and refuses


def make_remote_chat(
    url: str,
    base_model: str | None,
    adapter: str | None = None,
    *,
    retries: int = RETRIES,
    **settings: Any,
) -> RemoteChat:
    """Make the chat model of a server.

    Args:
        url: Its address, with or without `/v1`.
        base_model: The base model as named in burnish.toml; the server is asked for its own name.
        adapter: The version that answers; None is the base model.
        retries: Further tries after errors of the server or of the connection.
        **settings: Of sampling: `temperature`, `seed`, `next_seed`, `max_tokens`, `top_p`.
    """
    address = Endpoint.shared(url).address
    return RemoteChat(
        base_url=f"{address}/v1",
        api_key=lambda: server_token() or "none",
        model=adapter or base_model or "default",
        base_model=base_model,
        adapter=adapter,
        max_retries=retries,
        timeout=_TIMEOUT_S,
        http_async_client=_async_client(address),
        **settings,
    )


@lru_cache(maxsize=64)
def _async_client(address: str) -> Any:
    return make_async_client(address)
