"""Real OpenEnv servers on loopback, and the settings of each test."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from burnish import settings


@pytest.fixture(autouse=True)
def _own_settings():
    settings.reset()
    yield
    settings.reset()


@pytest.fixture
def serve():
    """Serve an application on a free port until the test ends; returns its address."""
    import uvicorn

    with contextlib.ExitStack() as stack:

        def start(app):
            config = uvicorn.Config(app, port=0, log_level="error", lifespan="off")
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()
            while not server.started:
                time.sleep(0.01)

            def stop():
                server.should_exit = True
                thread.join(10)

            stack.callback(stop)
            start.stop = stop
            port = server.servers[0].sockets[0].getsockname()[1]
            return f"http://127.0.0.1:{port}"

        yield start
