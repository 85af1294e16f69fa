"""Record replies as a client receives them: whole, in chunks, raw, or abandoned.

`receive_reply` handles the replies of generated clients: a model object, a stream with an
`_iterator` and a `response`, a raw response with an `http_response`.

How it works: a `ClientCall` is open from the request to the end of the reply. Each piece that the
caller reads is recorded and passed on unchanged. A stream that is closed before its end is complete
if the server had reported the finish reason, else cut; its text so far is kept.
"""

from __future__ import annotations

import codecs
import functools
import inspect
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Self

from burnish.capture.clients.exchanges import Exchange
from burnish.capture.faults import guarded
from burnish.capture.manual_calls import HandwrittenModelCall
from burnish.capture.recorder import context


class ClientCall:
    """One recorded call of a model through a client.

    Args:
        begin: Makes the exchange from the request; called only inside a recorded run. Without it
            nothing is recorded.
    """

    def __init__(self, begin: Callable[[], Exchange] | None = None) -> None:
        self._call: HandwrittenModelCall | None = None
        self._exchange: Exchange | None = None
        self._first: int | None = None
        self._in_chunks = False
        self.pulling = False  # the caller waits for the next piece: an end is not an abandonment
        if begin is not None:
            self._open(begin)

    @guarded
    def _open(self, begin: Callable[[], Exchange]) -> None:
        if context.suppressed.get() or context.current_run() is None:
            return
        exchange = begin()
        call = exchange.asked()
        call.open()
        self._exchange, self._call = exchange, call

    @property
    def is_open(self) -> bool:
        """Return whether the call is recorded, and has not ended."""
        return self._call is not None

    @guarded
    def add(self, piece: Any, *, whole: bool = False) -> None:
        """Add the whole reply, or its next chunk, as the client's object or as JSON."""
        call, exchange = self._call, self._exchange
        if call is None or exchange is None:
            return
        if self._first is None:
            self._first = time.time_ns()
        given = piece if isinstance(piece, Mapping) else piece.model_dump(warnings=False)
        text = exchange.add(given)
        if not whole:
            self._in_chunks = True
            call.add_text(text)

    @guarded
    def close(self, error: BaseException | None = None) -> None:
        """End the call, once."""
        call, self._call = self._call, None
        exchange = self._exchange
        if call is None or exchange is None:
            return
        if self._first is not None:
            message = exchange.message()
            facts = dict(exchange.facts)
            if self._in_chunks:
                facts["first_token_at"] = self._first
            call.reply(message, extras=exchange.extras, **facts)
        call.close(error)

    def leave(self) -> None:
        """End the call after the reader closed the stream."""
        if self.pulling:
            return
        finished = self._exchange is not None and "finish_reason" in self._exchange.facts
        self.close(None if finished else GeneratorExit())


class Reading:
    """The reading of one reply, entered while it is read; the end of the reading ends the call.

    Args:
        call: The call.
        hear: Receives each piece; the call itself by default.
        end: Called after the last piece.
    """

    def __init__(
        self,
        call: ClientCall,
        hear: Callable[[Any], Any] | None = None,
        end: Callable[[], Any] | None = None,
    ) -> None:
        self.call = call
        self.hear = call.add if hear is None else hear
        self._end = end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, GeneratorExit):
            self.call.leave()
            return
        if error is None and self._end is not None:
            self._end()
        self.call.close(error)

    def through(self, pieces: Iterator[Any]) -> Iterator[Any]:
        """Yield each piece after recording it."""
        with self:
            while True:
                self.call.pulling = True
                try:
                    piece = next(pieces)
                except StopIteration:
                    return
                finally:
                    self.call.pulling = False
                self.hear(piece)
                yield piece

    async def athrough(self, pieces: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield each piece of an asynchronous stream after recording it."""
        with self:
            while True:
                self.call.pulling = True
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                finally:
                    self.call.pulling = False
                self.hear(piece)
                yield piece


def receive_reply(reply: Any, call: ClientCall) -> Any:
    """Record the result of a request, now or while it is read; return it."""
    if call.is_open:
        _hear_reply(reply, call)
    return reply


@guarded
def _hear_reply(reply: Any, call: ClientCall) -> None:
    if hasattr(reply, "http_response"):
        _hear_response(reply.http_response, call)
    elif hasattr(reply, "_iterator"):
        _hear_stream(reply, call)
    else:
        call.add(reply, whole=True)
        call.close()


def _hear_stream(stream: Any, call: ClientCall) -> None:
    """Observe the chunks of a stream, and its closing."""
    reading = Reading(call)
    through = reading.athrough if hasattr(stream, "__anext__") else reading.through
    stream._iterator = through(stream._iterator)  # noqa: SLF001 - there is no public name
    response = getattr(stream, "response", None)
    if response is not None:
        _hear_closing(response, call)


def _hear_response(response: Any, call: ClientCall) -> None:
    """Observe the body of a raw response, which is already read or is read later."""
    body = _Body(response.headers.get("content-type", ""), call)
    if response.is_stream_consumed:
        body.add(response.content)
        body.end()
        call.close()
        return
    reading = Reading(call, body.add, body.end)
    _hear_bytes(response, "iter_bytes", reading.through)
    _hear_bytes(response, "aiter_bytes", reading.athrough)
    _hear_closing(response, call)


def _hear_bytes(response: Any, name: str, through: Callable[[Any], Any]) -> None:
    original = getattr(response, name)

    @functools.wraps(original)
    def heard(*args: Any, **kwargs: Any) -> Any:
        return through(original(*args, **kwargs))

    setattr(response, name, heard)


def _hear_closing(response: Any, call: ClientCall) -> None:
    """End the call when the connection of its reply is closed."""
    for name in ("close", "aclose"):
        original = getattr(response, name, None)
        if original is None:
            continue
        heard = _aclose_and_end if inspect.iscoroutinefunction(original) else _close_and_end
        setattr(response, name, heard(original, call))


def _close_and_end(original: Callable[[], None], call: ClientCall) -> Callable[[], None]:
    @functools.wraps(original)
    def close() -> None:
        call.leave()
        original()

    return close


def _aclose_and_end(original: Callable[[], Any], call: ClientCall) -> Callable[[], Any]:
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
        self._text: list[str] = []  # bytes after the last end of line

    @guarded
    def add(self, data: bytes) -> None:
        """Add the next bytes."""
        text = self._decoder.decode(data)
        if not self._is_stream or "\n" not in text:
            self._text.append(text)
            return
        *lines, rest = "".join([*self._text, text]).split("\n")
        self._text = [rest]
        for line in lines:
            self._line(line)

    @guarded
    def end(self) -> None:
        """Process the remaining bytes."""
        text = "".join(self._text)
        self._text.clear()
        if self._is_stream:
            self._line(text)
        elif text.strip():
            self._call.add(json.loads(text), whole=True)

    def _line(self, line: str) -> None:
        name, _, value = line.strip().partition(":")
        if name == "data" and value.strip() not in ("", "[DONE]"):
            self._call.add(json.loads(value))
