"""Start real receivers on the loopback and read their views of runs, in one form."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
_PHOENIX_SPANS = """{ projects { edges { node { spans(first: 1000) { edges { node {
  name spanKind statusCode statusMessage parentId attributes input { value } output { value }
  tokenCountPrompt tokenCountCompletion tokenPromptDetails { cacheRead cacheWrite } userId
  context { traceId } trace { session { sessionId } } events { name } } } } } } } }"""


def free_port() -> int:
    """Return a free port of the loopback."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], log: Path, ready: str, **env: str) -> Iterator[None]:
    """Run a server, from the first answer of `ready` until the block ends."""
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **env}
        )
        try:
            _wait(server, ready, log)
            yield
        finally:
            server.terminate()
            server.wait(30)


def _wait(server: subprocess.Popen, ready: str, log: Path) -> None:
    end = time.monotonic() + 240
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(ready).status_code == 200:
                return
        time.sleep(0.5)
    raise AssertionError(f"{server.args[0]} does not start: {log.read_text()[-2000:]}")


def run_desk(home: Path, endpoint: str) -> dict[str, str]:
    """Run the agent and ship its spans; return the trace of each run."""
    env = {**os.environ, "OTEL_EXPORTER_OTLP_HEADERS": "x-mlflow-experiment-id=0"}
    done = subprocess.run(
        [sys.executable, str(HERE / "desk_agent.py"), str(home), endpoint],
        capture_output=True,
        check=False,
        env=env,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert told["left"] == 0, done.stderr.decode()
    return told["traces"]


def phoenix_views(home: Path, protocol: str) -> dict[str, dict[str, Any]]:
    """Return Phoenix's view of each run that was shipped over `protocol`."""
    http, grpc = free_port(), free_port()
    env = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(http),
        "PHOENIX_GRPC_PORT": str(grpc),
        "PHOENIX_WORKING_DIR": str(home / "phoenix"),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    server = f"http://127.0.0.1:{http}"
    command = [str(ROOT / ".venv-phoenix/bin/phoenix"), "serve"]
    with running(command, home / "phoenix.log", f"{server}/healthz", **env):
        endpoint = server if protocol == "http" else f"grpc://127.0.0.1:{grpc}"
        traces = run_desk(home / "desk", endpoint)
        spans = _phoenix_spans(server)
    return {name: _phoenix_trace(spans, trace) for name, trace in traces.items()}


def _phoenix_spans(server: str) -> list[dict[str, Any]]:
    """Return all spans, once their number has been the same for two seconds: Phoenix inserts in batches."""
    found: list[dict[str, Any]] = []
    for _ in range(30):
        answer = httpx.post(f"{server}/graphql", json={"query": _PHOENIX_SPANS}, timeout=60).json()
        projects = answer["data"]["projects"]["edges"]
        spans = [e["node"] for project in projects for e in project["node"]["spans"]["edges"]]
        if spans and len(spans) == len(found):
            return spans
        found = spans
        time.sleep(2)
    return found


def _phoenix_trace(spans: list[dict[str, Any]], trace: str) -> dict[str, Any]:
    own = [span for span in spans if span["context"]["traceId"] == trace]
    (root,) = [span for span in own if span["parentId"] is None]
    models = [span for span in own if span["spanKind"] == "llm"]

    def total(*path: str) -> int:
        found = 0
        for span in models:
            value: Any = span
            for key in path:
                value = value[key]
            found += value or 0
        return found

    return {
        "question": _value(root["input"]),
        "answer": _value(root["output"]),
        "status": root["statusCode"],
        "thread": root["trace"]["session"]["sessionId"],
        "user": root["userId"],
        "tokens": {
            "input_tokens": total("tokenCountPrompt"),
            "output_tokens": total("tokenCountCompletion"),
            "cache_read_input_tokens": total("tokenPromptDetails", "cacheRead"),
            "cache_creation_input_tokens": total("tokenPromptDetails", "cacheWrite"),
        },
        "spans": [_phoenix_span(span) for span in own],
    }


def _phoenix_span(span: dict[str, Any]) -> dict[str, Any]:
    """A span as its page shows it; of a model's, the messages."""
    attributes = json.loads(span["attributes"])
    messages = attributes.get("llm", {})
    model = span["spanKind"] == "llm"
    return {
        "name": span["name"],
        "kind": span["spanKind"].upper(),
        "status": span["statusCode"],
        "message": span["statusMessage"],
        "input": messages.get("input_messages") if model else _value(span["input"]),
        "output": messages.get("output_messages") if model else _value(span["output"]),
        "attributes": attributes,
        "events": span["events"],
    }


def _value(shown: dict[str, str] | None) -> Any:
    if shown is None:
        return None
    try:
        return json.loads(shown["value"])
    except ValueError:
        return shown["value"]


def mlflow_views(home: Path, protocol: str) -> dict[str, dict[str, Any]]:
    """Return MLflow's view of each run; it accepts OTLP only over HTTP."""
    server = f"http://127.0.0.1:{free_port()}"
    python = str(ROOT / ".venv-mlflow/bin/python")
    command = [
        str(ROOT / ".venv-mlflow/bin/mlflow"),
        "server",
        *("--backend-store-uri", f"sqlite:///{home}/mlflow.db"),
        *("--default-artifact-root", str(home / "artifacts")),
        *("--host", "127.0.0.1", "--port", server.rpartition(":")[2], "--workers", "1"),
    ]
    with running(command, home / "mlflow.log", f"{server}/health"):
        traces = run_desk(home / "desk", server)
        reader = [python, str(HERE / "read_mlflow.py"), server]
        env = {**os.environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
        done = subprocess.run(reader, capture_output=True, check=False, env=env, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    shown = json.loads(done.stdout)
    return {name: shown[trace] for name, trace in traces.items()}
