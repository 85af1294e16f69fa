"""Measure Agent Lightning 0.3: its tracer around each run, TraceToMessages as exporter. Prints rows as JSON lines."""

from __future__ import annotations

import json

import _peers_agent as peers_agent
import agentlightning
import audit


def main() -> None:
    """Trace 20 runs and print what the adapter makes of them."""
    tracer, adapter = agentlightning.AgentOpsTracer(), agentlightning.TraceToMessages()
    rows = []
    with tracer.lifespan():
        graph = peers_agent.graph()
        for request, _ in audit.requests():
            tracer.trace_run(peers_agent.ask, graph, request)
            rows += adapter.adapt(tracer.get_last_trace())
    for row in rows:
        print("ROW " + json.dumps(row, default=str))


if __name__ == "__main__":
    main()
