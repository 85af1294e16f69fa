"""`burnish serve`: the embedded engine behind OpenAI's and vLLM's routes.

Knows: the routes, their bodies and errors, who may call. Does not know: how tokens are made.

Routes: `/health`, `/v1/models`, `/v1/chat/completions`, `/v1/completions`, `/v1/load_lora_adapter`,
`/v1/unload_lora_adapter`. Messages and codes of the adapter routes are vLLM's. Without a token it
only listens on loopback: whoever reaches the adapter routes decides what is served.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.errors import ServingError, SettingsError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send

    from burnish.serving.embedded.engine import Engine


def make_app(
    base_model: str | Path, *, token: str | None = None, engine: Engine | None = None
) -> Starlette:
    """The application over the engine of a base model.

    Args:
        base_model: A folder or a name; also the name that clients ask for.
        token: Bearer token that every route but `/health` asks for.
        engine: Another engine than the shared one of this process.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from burnish.serving.embedded.session import Session
    from burnish.serving.routes import Routes

    name = Path(base_model).name if Path(base_model).is_dir() else str(base_model)
    routes = Routes(Session(base_model, engine), name)
    # Without a token, a page in a browser must not reach the adapter routes by a name of its own.
    loopback = ["localhost", "127.0.0.1", "[::1]", "::1"]
    guard = (
        Middleware(BearerToken, token=token)
        if token
        else Middleware(TrustedHostMiddleware, allowed_hosts=loopback, www_redirect=False)
    )
    return Starlette(routes=routes.table(), middleware=[guard])


class BearerToken:
    """Lets only requests with the right bearer token through."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 to anyone without the token."""
        if scope["type"] == "http" and scope["path"] != "/health":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                await _send_unauthorized(send)
                return
        await self._app(scope, receive, send)


async def _send_unauthorized(send: Send) -> None:
    body = json.dumps({"error": "Unauthorized"}).encode()
    headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def serve(
    base_model: str, host: str = "127.0.0.1", port: int = 8765, token: str | None = None
) -> None:
    """Serve until interrupted.

    Raises:
        SettingsError: If the address is beyond loopback and there is no token.
    """
    check_address(host, token)
    from burnish.extras import import_extra

    uvicorn = import_extra("uvicorn")

    app = make_app(base_model, token=token)
    uvicorn.run(app, host=host, port=port, log_level="info", timeout_graceful_shutdown=10)


def check_address(host: str, token: str | None) -> None:
    """Refuse to listen beyond loopback without a token.

    Raises:
        SettingsError: If the address is beyond loopback and there is no token.
    """
    if token or is_loopback(host):
        return
    raise SettingsError(
        f"host {host} is reachable from other machines and there is no token",
        "a token, for the adapter routes decide what is served",
        f"burnish serve --host {host} --token $(openssl rand -hex 24)",
    )


def is_loopback(host: str) -> bool:
    """Whether a host names this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def running(app: Any, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve an application from a thread for as long as the block runs; gives its address.

    Raises:
        ServingError: If it does not come up.
    """
    import uvicorn

    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    with config.bind_socket() as socket:
        socket.listen(128)  # who asks before the thread runs waits, instead of being refused
        address = f"http://{host}:{socket.getsockname()[1]}"
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [socket]}, name="burnish-serve", daemon=True
        )
        thread.start()
        try:
            _wait_until_up(address, thread)
            yield address
        finally:
            server.should_exit = True
            thread.join(timeout=15)


def _wait_until_up(address: str, thread: threading.Thread) -> None:
    """The socket listens already: the first answer comes as soon as the server runs."""
    import httpx

    try:
        httpx.get(f"{address}/health", timeout=30, trust_env=False)
    except httpx.HTTPError as error:
        alive = "runs" if thread.is_alive() else "has ended"
        raise ServingError(
            f"the server at {address} does not answer ({error}); its thread {alive}",
            "an answer to /health",
            "burnish doctor",
        ) from error
