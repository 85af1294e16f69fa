"""Run `burnish serve`: the embedded engine behind OpenAI's and vLLM's routes.

Routes: `/health`, `/v1/models`, `/v1/chat/completions`, `/v1/completions`, `/v1/load_lora_adapter`,
`/v1/unload_lora_adapter`. Messages and codes of the adapter routes are vLLM's. Without a token the
server listens on loopback only, because a client of the adapter routes decides which versions are
served.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.errors import ServingError
from burnish.http_guard import Guard, check_address

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from burnish.serving.embedded.engine import Engine


def make_app(
    base_model: str | Path, *, token: str | None = None, engine: Engine | None = None
) -> Starlette:
    """Make the application over the engine of a base model.

    Args:
        base_model: A folder or a name; also the name that clients use.
        token: Bearer token that every route but `/health` requires.
        engine: An engine other than the shared one of this process.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware

    from burnish.serving.embedded.session import Session
    from burnish.serving.http.asgi_guard import GuardMiddleware
    from burnish.serving.http.routes import Routes

    name = Path(base_model).name if Path(base_model).is_dir() else str(base_model)
    routes = Routes(Session(base_model, engine), name)
    return Starlette(
        routes=routes.table(), middleware=[Middleware(GuardMiddleware, guard=Guard(token))]
    )


def serve(
    base_model: str, host: str = "127.0.0.1", port: int = 8765, token: str | None = None
) -> None:
    """Serve until interrupted.

    Raises:
        SettingsError: If the address is beyond loopback and there is no token.
    """
    check_address(host, token)
    import uvicorn

    from burnish.serving.http.asgi_guard import GuardedProtocol

    app = make_app(base_model, token=token)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="info",
        http=GuardedProtocol,
        ws="none",
        timeout_graceful_shutdown=10,
    )


@contextlib.contextmanager
def running(app: Any, host: str = "127.0.0.1", port: int = 0) -> Generator[str]:
    """Serve an application from a thread while the block runs; yield its address.

    Raises:
        ServingError: If it does not start.
    """
    import uvicorn

    from burnish.serving.http.asgi_guard import GuardedProtocol

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        lifespan="off",
        ws="none",
        http=GuardedProtocol,
    )
    server = uvicorn.Server(config)
    with config.bind_socket() as socket:
        socket.listen(128)  # early requests wait for the thread instead of being refused
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
    """Wait for the first answer; the socket listens already."""
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
