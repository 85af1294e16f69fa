"""Measure how fast spans are shipped over OTLP, and how many an hour's outage of the backend loses.

A journal is filled as fast as possible with the runs of an hour at 200 spans a second (720,000
spans; --quick: 20,000) while the shipper already runs and the backend answers 503. Then the backend
comes up, and everything is shipped. The shipping process is bound to one core, the backend is
another process on another core; it counts distinct span ids, so no span counts twice.

    python benchmarks/capture/shipping.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import _report

HOUR = 720_000  # spans at 200 a second
STEPS = 4  # model calls a run; with three tools and the run itself, eight spans
SPANS_A_RUN = 2 * STEPS
PROMPT = "Find the order and say where it is. " * 10
RESULT = 400  # characters of each tool's result, all different
TIMEOUT_S = 3_600


class Backend(ThreadingHTTPServer):
    """Answers 503 until PUT /up; then counts span ids."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.up = False
        self.refused = 0
        self.requests = 0
        self.bytes = 0
        self.ids: set[bytes] = set()
        self.spans = 0


class Handler(BaseHTTPRequestHandler):
    """POST /v1/traces from the shipper; PUT /up and GET /count from the benchmark."""

    protocol_version = "HTTP/1.1"
    server: Backend  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        body = self.rfile.read(int(self.headers["content-length"]))
        if not self.server.up:
            self.server.refused += 1
            self.say(503, b"")
            return
        request = ExportTraceServiceRequest.FromString(gzip.decompress(body))
        ids = [
            span.span_id
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        self.server.requests += 1
        self.server.bytes += len(body)
        self.server.spans += len(ids)
        self.server.ids.update(ids)
        self.say(200, b"")

    def do_PUT(self) -> None:
        self.server.up = True
        self.say(200, b"")

    def do_GET(self) -> None:
        backend = self.server
        counts = {
            "distinct": len(backend.ids),
            "received": backend.spans,
            "requests": backend.requests,
            "bytes": backend.bytes,
            "refused": backend.refused,
        }
        self.say(200, json.dumps(counts).encode())

    def say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def serve() -> None:
    """Run the backend, on the last core."""
    pin(-1)
    backend = Backend()
    print(backend.server_port, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        backend.serve_forever(0.05)


def pin(place: int) -> None:
    """Bind this process to one core, if the system supports it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[place]})


def fill(home: Path, spans: int) -> float:
    """Record so many spans; return the seconds that it took."""
    from burnish.journal.writer import writer_for
    from burnish.testing.recording import Recording

    recording = Recording(home, writer_for(home))
    started = time.perf_counter()
    for number in range(spans // SPANS_A_RUN):
        run = recording.run(f"{number + 1:032x}", thread_id=f"t-{number % 1000}", task=PROMPT)
        for step in range(STEPS - 1):
            run.model_calls_tool(f"c{step}", {"key": step})
            run.run_tool(f"c{step}", {"key": step}, os.urandom(RESULT // 2).hex())
        run.model_says("done")
        run.end(answer="done")
    return time.perf_counter() - started


def measure(home: Path, url: str, spans: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Measure outage, recovery, and the rate of shipping."""
    import httpx

    import burnish
    from burnish.telemetry.delivery import shipper

    burnish.configure(home=home, otlp_endpoint=url)
    running = shipper.ensure_started()
    assert running is not None
    filled_s = fill(home, spans)
    down = running.flush(1.0)
    httpx.put(f"{url}/up")
    wall, cpu = time.perf_counter(), time.process_time()
    left = running.flush(TIMEOUT_S)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    counts = httpx.get(f"{url}/count").json()
    running.close()
    figures = {
        "spans_per_s": counts["received"] / wall,
        "spans_per_cpu_s": counts["received"] / cpu,
        "lost": spans - counts["distinct"],
        "sent_twice": counts["received"] - counts["distinct"],
    }
    return figures, {
        "spans": spans,
        "filled_s": filled_s,
        "shipped_s": wall,
        "waiting_while_down": sum(down.values()),
        "refused_while_down": counts["refused"],
        "unshipped_at_the_end": sum(left.values()),
        "bytes_a_span": counts["bytes"] / max(1, counts["received"]),
        "requests": counts["requests"],
    }


def main() -> None:
    parser = _report.options(__doc__)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve()
        return
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as backend:
        pin(0)
        try:
            assert backend.stdout is not None
            url = f"http://127.0.0.1:{backend.stdout.readline().strip()}"
            with tempfile.TemporaryDirectory() as home:
                found = measure(Path(home), url, 20_000 if chosen.quick else HOUR)
        finally:
            backend.kill()
    _report.tell(*found, chosen)


if __name__ == "__main__":
    main()
