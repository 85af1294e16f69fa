"""A real OTLP/HTTP receiver on the loopback that keeps its requests."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from burnish import settings
from burnish.telemetry.delivery import shipper
from burnish.telemetry.otlp.codec import OtlpReader


class Collector(ThreadingHTTPServer):
    """Accepts ExportTraceServiceRequests; gives the replies in `answers` first, in their order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[bytes] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.largest = 10**9
        self.down = False
        self.asked = 0
        self.turned = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self):
        reader = OtlpReader()
        return [span for request in list(self.requests) for span in reader.decode_request(request)]

    def wait_for(self, condition, timeout=20):
        with self.turned:
            assert self.turned.wait_for(condition, timeout)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: Collector = self.server
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        with server.turned:
            server.asked += 1
            status, headers = server.answers.pop(0) if server.answers else (200, {})
            if server.down:
                status = 503
            elif len(body) > server.largest:
                status = 413
            if status == 200:
                assert self.path == "/v1/traces"
                assert self.headers["content-type"] == "application/x-protobuf"
                server.requests.append(body)
            server.turned.notify_all()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def collector():
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def configured(tmp_path):
    """configure() for this test only; the process's shipper is stopped afterwards."""
    yield lambda **given: settings.configure(home=tmp_path, **given)
    settings.configure(otlp_endpoint=None, exporters=())
    shipper.ensure_started()
    settings.reset()
