"""Check requests before an ASGI application, and add the limits that uvicorn lacks.

`GuardMiddleware` passes a request on after its whole body has arrived: a slow sender holds a
connection, which is bounded in number and time, and no resource of the engine. `GuardedProtocol`
bounds connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from burnish.http_guard import BODY_S, HEADERS_S, LINGER_S, REALM, Guard, RequestRefused

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG = logging.getLogger("burnish.serve")
LARGEST_PROMPT = 16 * 1024 * 1024
"""Largest body of a request, in bytes."""
CONNECTIONS = 512
REQUESTS = 256
"""Number of concurrent requests; more are answered 503."""
_OPEN_PATH = "/health"


class GuardMiddleware:
    """Asks the guard, reads the body within its limits, then calls the application."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app, self._guard = app, guard
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused, or pass it on with its body."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        self._running += 1
        try:
            self._check(scope)
            body = await _read_body(scope, receive)
        except RequestRefused as refused:
            _LOG.info("%d %s: %s", refused.status, scope["path"][:100], refused.reason)
            await _send_refusal(receive, send, refused)
        except _ClientLeftError:
            pass
        else:
            await self._app(scope, _replay_body(body, receive), send)
        finally:
            self._running -= 1

    def _check(self, scope: Scope) -> None:
        if self._guard.token is None or scope["path"] != _OPEN_PATH:
            pairs = scope["headers"]
            self._guard.check_headers(
                {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in pairs}
            )
        if self._running > REQUESTS:
            raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests at once")


class _ClientLeftError(Exception):
    """The client closed the connection before its body had arrived."""


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    lengths = [value for key, value in scope["headers"] if key.lower() == b"content-length"]
    if any(not value.isdigit() or int(value[:12]) > LARGEST_PROMPT for value in lengths):
        raise _too_large()
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _ClientLeftError
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > LARGEST_PROMPT:
                    raise _too_large()
                if not message.get("more_body"):
                    return b"".join(pieces)
    except TimeoutError as error:
        raise RequestRefused(
            HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time"
        ) from error


def _too_large() -> RequestRefused:
    return RequestRefused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body holds at most {LARGEST_PROMPT} bytes"
    )


def _replay_body(body: bytes, receive: Receive) -> Receive:
    """Return a function that yields the body as one message, then reports a disconnect."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


async def _send_refusal(receive: Receive, send: Send, refused: RequestRefused) -> None:
    """Answer, and take what the client still sends: a close before that would reset the connection and the answer."""
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    error: Any = {"message": refused.reason, "type": refused.status.phrase, "code": refused.status}
    if refused.status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", f'Bearer realm="{REALM}"'.encode()))
        error = "Unauthorized"  # the message of vLLM
    if refused.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"1"))
    body = json.dumps({"error": error}).encode()
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": int(refused.status), "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if refused.status not in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.REQUEST_TIMEOUT):
        await _discard_body(receive)
    await send({"type": "http.response.body"})


async def _discard_body(receive: Receive) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while (await receive()).get("more_body"):
                pass


class GuardedProtocol(H11Protocol):
    """Closes connections whose headers do not arrive in time, and those above a number."""

    _deadline: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Accept a connection if the limit allows it."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.write(
                b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"
                b"content-length: 0\r\nconnection: close\r\n\r\n"
            )
            transport.close()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Receive bytes; whole headers must arrive in time."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        waits = self._waits_for_request()
        if not waits and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        elif waits and self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(HEADERS_S, self._close)

    def _waits_for_request(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        return cycle is None or cycle.response_complete

    def _close(self) -> None:
        self._deadline = None
        if self._waits_for_request():
            self.transport.close()
