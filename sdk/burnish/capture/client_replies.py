"""How replies reach a client of a model's API: whole, in chunks, raw, or left early.

Knows: the replies that clients made from an API's description share: a model object, a stream with
an `_iterator` and a `response`, a raw response with an `http_response`. Does not know: what a reply
says (wire.py), whose client it is (openai_client.py).

How it works: a `ClientCall` is open from the request to the end of the reply. What the caller reads
is heard on its way and handed on as it is. A stream that is closed before its end is complete where
the server had said why it finished, else cut; its text so far is kept.
"""

from __future__ import annotations

import codecs
import functools
import inspect
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Protocol

from burnish.capture.faults import guarded
from burnish.capture.handwritten import HandwrittenModelCall
from burnish.records import Message


class Reply(Protocol):
    """What puts a reply together from the whole or from its chunks."""

    facts: dict[str, Any]
    extras: dict[str, Any]
    content: str | None

    def add(self, reply: Mapping[str, Any]) -> None:
        """Take a whole reply or the next chunk."""
        ...

    def message(self) -> Message:
        """Return the reply in the records' form."""
        ...


class ClientCall:
    """One call of a model through a client, on its way into the journal.

    Args:
        asked: Makes the call out of the request.
        reply: Puts its reply together.
    """

    def __init__(self, asked: Callable[[], HandwrittenModelCall], reply: Reply) -> None:
        self._call: HandwrittenModelCall | None = None
        self._reply = reply
        self._first: int | None = None
        self._in_chunks = False
        self.pulling = False  # the caller waits for the next piece: an end is no early leave
        self._open(asked)

    @guarded
    def _open(self, asked: Callable[[], HandwrittenModelCall]) -> None:
        self._call = asked()
        self._call.open()

    @guarded
    def add(self, piece: Any, *, whole: bool = False) -> None:
        """Take the whole reply, or its next chunk, as the client's object or as JSON."""
        if self._call is None:
            return
        if self._first is None:
            self._first = time.time_ns()
        before = self._reply.content or ""
        self._reply.add(piece if isinstance(piece, Mapping) else piece.model_dump(warnings=False))
        if not whole:
            self._in_chunks = True
            self._call.add_text((self._reply.content or "")[len(before) :])

    @guarded
    def close(self, error: BaseException | None = None) -> None:
        """Say how it ended, once."""
        call, self._call = self._call, None
        if call is None:
            return
        if self._first is not None:
            facts = dict(self._reply.facts)
            if self._in_chunks:
                facts["first_token_at"] = self._first
            call.reply(self._reply.message(), extras=self._reply.extras, **facts)
        call.close(error)

    def leave(self) -> None:
        """End it where the reader closed the stream by itself."""
        if self.pulling:
            return
        finished = "finish_reason" in self._reply.facts
        self.close(None if finished else GeneratorExit())


def receive_reply(reply: Any, call: ClientCall) -> Any:
    """Record what a client gave for a request, now or while it is read; returns it."""
    if hasattr(reply, "http_response"):
        _hear_response(reply.http_response, call)
    elif hasattr(reply, "_iterator"):
        _hear_stream(reply, call)
    else:
        call.add(reply, whole=True)
        call.close()
    return reply


def _hear_stream(stream: Any, call: ClientCall) -> None:
    """Hear the chunks of a stream, and when it is closed."""
    through = _achunks if hasattr(stream, "__anext__") else _chunks
    stream._iterator = through(stream._iterator, call, call.add)  # noqa: SLF001 - no public place
    response = getattr(stream, "response", None)
    if response is not None:
        _hear_closing(response, call)


@guarded
def _hear_response(response: Any, call: ClientCall) -> None:
    """Hear the body of a raw response: one that was read already, or while it is read."""
    body = _Body(response.headers.get("content-type", ""), call)
    if response.is_stream_consumed:
        body.add(response.content)
        body.end()
        call.close()
        return
    for name, through in (("iter_bytes", _chunks), ("aiter_bytes", _achunks)):
        _hear_bytes(response, name, through, body, call)
    _hear_closing(response, call)


def _hear_bytes(response: Any, name: str, through: Any, body: _Body, call: ClientCall) -> None:
    original = getattr(response, name)

    @functools.wraps(original)
    def heard(*args: Any, **kwargs: Any) -> Any:
        return through(original(*args, **kwargs), call, body.add, body.end)

    setattr(response, name, heard)


def _hear_closing(response: Any, call: ClientCall) -> None:
    """Let the call end when the connection of its reply is closed."""
    for name in ("close", "aclose"):
        original = getattr(response, name, None)
        if original is None:
            continue
        heard = _aclosing if inspect.iscoroutinefunction(original) else _closing
        setattr(response, name, heard(original, call))


def _closing(original: Callable[[], None], call: ClientCall) -> Callable[[], None]:
    @functools.wraps(original)
    def close() -> None:
        call.leave()
        original()

    return close


def _aclosing(original: Callable[[], Any], call: ClientCall) -> Callable[[], Any]:
    @functools.wraps(original)
    async def aclose() -> None:
        call.leave()
        await original()

    return aclose


class _Body:
    """The bytes of a reply, as JSON or as a stream of server-sent events."""

    def __init__(self, kind: str, call: ClientCall) -> None:
        self._is_stream = "event-stream" in kind
        self._call = call
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""

    @guarded
    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self._text += self._decoder.decode(data)
        if self._is_stream:
            *lines, self._text = self._text.split("\n")
            for line in lines:
                self._line(line)

    @guarded
    def end(self) -> None:
        """Take what is left."""
        text, self._text = self._text, ""
        if self._is_stream:
            self._line(text)
        elif text.strip():
            self._call.add(json.loads(text), whole=True)

    def _line(self, line: str) -> None:
        name, _, value = line.strip().partition(":")
        if name == "data" and value.strip() not in ("", "[DONE]"):
            self._call.add(json.loads(value))


def _nothing() -> None: ...


def _chunks(
    chunks: Iterator[Any],
    call: ClientCall,
    hear: Callable[[Any], Any],
    end: Callable[[], Any] = _nothing,
) -> Iterator[Any]:
    try:
        while True:
            call.pulling = True
            try:
                chunk = next(chunks)
            except StopIteration:
                break
            finally:
                call.pulling = False
            hear(chunk)
            yield chunk
    except GeneratorExit:
        call.leave()
        raise
    except BaseException as error:
        call.close(error)
        raise
    end()
    call.close()


async def _achunks(
    chunks: AsyncIterator[Any],
    call: ClientCall,
    hear: Callable[[Any], Any],
    end: Callable[[], Any] = _nothing,
) -> AsyncIterator[Any]:
    try:
        while True:
            call.pulling = True
            try:
                chunk = await anext(chunks)
            except StopAsyncIteration:
                break
            finally:
                call.pulling = False
            hear(chunk)
            yield chunk
    except GeneratorExit:
        call.leave()
        raise
    except BaseException as error:
        call.close(error)
        raise
    end()
    call.close()
