"""The OpenAI client inside a `trace`: each chat completion is recorded by itself.

Knows: the client's `chat.completions.create`, synchronous, asynchronous and streaming.
Does not know: LangChain.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from typing import Any, TypeVar

from burnish.capture.faults import guarded
from burnish.capture.handwritten import HandwrittenModelCall
from burnish.capture.wire import WireReply
from burnish.errors import CaptureError

_C = TypeVar("_C")
_TRANSPORT = ("timeout", "extra_headers", "extra_query")


def recording_client(client: _C) -> _C:
    """A copy of an OpenAI client whose chat completions are recorded inside a `trace`.

    Args:
        client: An `OpenAI` or `AsyncOpenAI` client, or one of a compatible package.

    Raises:
        CaptureError: If the client has no chat completions.
    """
    try:
        twin: Any = client.with_options()  # pyright: ignore[reportAttributeAccessIssue]
        completions = twin.chat.completions
        create = completions.create
    except AttributeError as missing:
        raise CaptureError(
            f"trace.openai() got {type(client).__name__}, which lacks {missing.name}",
            "an OpenAI or AsyncOpenAI client",
            "burnish.trace.openai(openai.OpenAI())",
        ) from missing
    completions.create = _recorded(create)
    return twin


class _Recording:
    """One completion on its way into the journal."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._call: HandwrittenModelCall | None = None
        self._reply = WireReply()
        self._first: int | None = None
        self._open(request)

    @guarded
    def _open(self, request: Mapping[str, Any]) -> None:
        given = {key: value for key, value in request.items() if _is_given(key, value)}
        messages = list(given.pop("messages", ()))
        self._call = HandwrittenModelCall(messages, provider="openai", **given)
        self._call.open()

    @guarded
    def add(self, reply: Any) -> None:
        """Take the reply, or its next chunk."""
        if self._first is None:
            self._first = time.time_ns()
        self._reply.add(reply.model_dump(warnings=False))

    @guarded
    def close(self, error: BaseException | None = None, *, streamed: bool = False) -> None:
        """Say how it ended."""
        call, self._call = self._call, None
        if call is None:
            return
        if self._first is not None:
            facts = dict(self._reply.facts)
            if streamed:
                facts["first_token_at"] = self._first
            call.reply(self._reply.message(), extras=self._reply.extras, **facts)
        call.close(error)


def _is_given(key: str, value: Any) -> bool:
    return key not in _TRANSPORT and type(value).__name__ not in ("NotGiven", "Omit")


def _recorded(create: Any) -> Any:
    """`create` that records; an asynchronous client's gives an awaitable, as it does itself."""

    @functools.wraps(create)
    def run(*args: Any, **request: Any) -> Any:
        recording = _Recording(request)
        try:
            reply = create(*args, **request)
        except BaseException as error:
            recording.close(error)
            raise
        if inspect.isawaitable(reply):
            return _awaited(reply, recording, request)
        return _received(reply, recording, request)

    return run


async def _awaited(coming: Awaitable[Any], recording: _Recording, request: Any) -> Any:
    try:
        reply = await coming
    except BaseException as error:
        recording.close(error)
        raise
    return _received(reply, recording, request)


def _received(reply: Any, recording: _Recording, request: Any) -> Any:
    if request.get("stream") is True:
        return _tap(reply, recording)
    recording.add(reply)
    recording.close()
    return reply


def _tap(stream: Any, recording: _Recording) -> Any:
    """The same stream object, whose chunks are heard on their way."""
    if hasattr(stream, "_iterator"):
        through = _achunks if hasattr(stream, "__anext__") else _chunks
        stream._iterator = through(stream._iterator, recording)  # noqa: SLF001 - no public place
    else:
        recording.close()
    return stream


def _chunks(chunks: Iterator[Any], recording: _Recording) -> Iterator[Any]:
    try:
        for chunk in chunks:
            recording.add(chunk)
            yield chunk
    except BaseException as error:
        recording.close(error, streamed=True)
        raise
    recording.close(streamed=True)


async def _achunks(chunks: AsyncIterator[Any], recording: _Recording) -> AsyncIterator[Any]:
    try:
        async for chunk in chunks:
            recording.add(chunk)
            yield chunk
    except BaseException as error:
        recording.close(error, streamed=True)
        raise
    recording.close(streamed=True)
