"""Bind the OpenAI client's HTTP connections to the event loop that uses them.

`langchain_openai` keeps one asynchronous HTTP client for all event loops of a process, and a
connection of a loop that has ended raises "Event loop is closed" in the next one. With this
transport each loop has its own connections, which are closed when it shuts down.

How it works: the transport keeps one connection pool per loop, held by an asynchronous generator
that waits in that loop. `asyncio.run` finishes such generators before it closes the loop, which
closes the pool in its own loop.
"""

from __future__ import annotations

import asyncio
import importlib
import urllib.request
import weakref
from collections.abc import AsyncGenerator
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

_CLIENT_WAITS_S = 60.0  # the longest Retry-After that the OpenAI client honours
_REFUSALS = (429, 503)


def make_async_client(address: str) -> Any:
    """Make an asynchronous HTTP client for `openai.AsyncOpenAI` that any event loop may use."""
    import openai

    return openai.DefaultAsyncHttpxClient(transport=_transport_class()(address))


@lru_cache(maxsize=1)
def _transport_class() -> Any:
    """Build the transport over the HTTP package of the installed OpenAI client."""
    import openai

    base = next(c for c in openai.DefaultAsyncHttpxClient.__mro__ if c.__name__ == "AsyncClient")
    http: Any = importlib.import_module(base.__module__.partition(".")[0])

    class LoopTransport(http.AsyncBaseTransport):
        """Sends each request over the connections of the running event loop."""

        def __init__(self, address: str) -> None:
            self._proxy = _proxy_for(address)
            self._pools: Any = weakref.WeakKeyDictionary()

        async def handle_async_request(self, request: Any) -> Any:
            pool = await self._pool()
            response = await pool.handle_async_request(request)
            _forbid_hasty_retry(response)
            return response

        async def _pool(self) -> Any:
            loop = asyncio.get_running_loop()
            if loop not in self._pools:
                limits = http.Limits(max_connections=1000, max_keepalive_connections=100)
                pool = http.AsyncHTTPTransport(limits=limits, proxy=self._proxy)
                keeper = _keep_open(pool)
                self._pools[loop] = (pool, keeper)
                await anext(keeper)
            return self._pools[loop][0]

    return LoopTransport


def _forbid_hasty_retry(response: Any) -> None:
    """Let the OpenAI client raise a refusal whose Retry-After is longer than it would wait.

    The client ignores such a header and asks again within a second, against the server's wish. The caller may wait.
    """
    try:
        wait = float(response.headers.get("retry-after", 0))
    except ValueError:
        return
    if response.status_code in _REFUSALS and wait > _CLIENT_WAITS_S:
        response.headers["x-should-retry"] = "false"


async def _keep_open(pool: Any) -> AsyncGenerator[None]:
    """Hold a pool of connections until its event loop shuts down."""
    try:
        yield
    finally:
        await pool.aclose()


def _proxy_for(address: str) -> str | None:
    """Return the proxy that the environment names for a server."""
    parts = urlsplit(address)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)
