"""Measure Phoenix: its server, LLM spans added to a dataset, its OpenAI fine-tuning download. Prints JSON lines."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

import _peers_agent as peers_agent
import audit
import httpx

_SPANS = """query { projects { edges { node { name spans(first: 1000, filterCondition: "span_kind == 'LLM'")
 { edges { node { id } } } } } } }"""
_CREATE = "mutation($name: String!) { createDataset(input: {name: $name}) { dataset { id } } }"
_ADD = """mutation($dataset: ID!, $spans: [ID!]!) { addSpansToDataset(input: {datasetId: $dataset, spanIds: $spans})
 { dataset { id } } }"""


def main() -> None:
    """Trace 20 runs into a server, add every LLM span to a dataset, print the download."""
    from openinference.instrumentation.langchain import LangChainInstrumentor
    from phoenix.otel import register

    with tempfile.TemporaryDirectory() as folder:
        ports = {"PHOENIX_PORT": str(_free()), "PHOENIX_GRPC_PORT": str(_free())}
        environment = {
            **os.environ,
            **ports,
            "PHOENIX_WORKING_DIR": folder,
            "PHOENIX_TELEMETRY_ENABLED": "false",
        }
        url = f"http://127.0.0.1:{ports['PHOENIX_PORT']}"
        server = subprocess.Popen(
            [sys.executable, "-m", "phoenix.server.main", "serve"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait(url, server)
            provider = register(
                endpoint=f"{url}/v1/traces", protocol="http/protobuf", batch=False, verbose=False
            )
            LangChainInstrumentor().instrument(tracer_provider=provider)
            graph = peers_agent.graph()
            for request, _ in audit.requests():
                peers_agent.ask(graph, request)
            provider.force_flush()
            print("\n".join("ROW " + line for line in _download(url).splitlines() if line))
        finally:
            server.terminate()
            server.wait(60)


def _download(url: str) -> str:
    """Put every LLM span into a dataset and return its fine-tuning file."""
    wanted, spans, until = audit.RUNS * audit.CALLS, [], time.monotonic() + 120
    while len(spans) < wanted and time.monotonic() < until:
        time.sleep(1)
        projects = _ask(url, _SPANS)["projects"]["edges"]
        spans = [edge["node"]["id"] for p in projects for edge in p["node"]["spans"]["edges"]]
    dataset = _ask(url, _CREATE, name="audit")["createDataset"]["dataset"]["id"]
    _ask(url, _ADD, dataset=dataset, spans=spans)
    return (
        httpx.get(f"{url}/v1/datasets/{dataset}/jsonl/openai_ft", timeout=60)
        .raise_for_status()
        .text
    )


def _ask(url: str, query: str, **variables: Any) -> Any:
    answer = httpx.post(
        f"{url}/graphql", json={"query": query, "variables": variables}, timeout=60
    ).json()
    if answer.get("errors"):
        raise RuntimeError(answer["errors"])
    return answer["data"]


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 240
    while time.monotonic() < until and server.poll() is None:
        try:
            if httpx.get(f"{url}/healthz", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(1)
    raise RuntimeError("the Phoenix server did not come up")


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
