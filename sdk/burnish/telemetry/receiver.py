"""Takes OTLP from other processes and hosts into one workspace, over HTTP and gRPC.

Knows: the two protocols, and that an answer is a promise: it is given once the journal has the bytes.
Does not know: what the spans say.
"""

from __future__ import annotations

import gzip
import logging
import threading
import zlib
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from burnish.errors import JournalCorrupt, ServingError, SettingsError, WorkspaceError
from burnish.journal.events import Ref, SpanReceived
from burnish.journal.writer import JournalWriter, writer_for
from burnish.records import Span
from burnish.telemetry.delivery import GRPC_METHOD
from burnish.telemetry.otlp import OtlpReader
from burnish.telemetry.received import Clean, cleaned, take_apart
from burnish.telemetry.schema import SpanRefused

if TYPE_CHECKING:
    import grpc

_LOG = logging.getLogger("burnish.receive")
_LARGEST = 64 * 1024 * 1024
_RETRY_AFTER_S = 5
_BATCH = 512  # spans in one append


class OtlpServer:
    """Writes what it receives into the journal of `home`.

    Args:
        home: Folder of the workspace.
        host: Address to listen on; only the loopback by default.
        http_port: Port for OTLP/HTTP, 0 for any free one, None for none.
        grpc_port: Port for OTLP/gRPC, 0 for any free one, None for none.
        clean: What is done to the attributes of each span before they reach the disk.
    """

    def __init__(
        self,
        home: Path,
        host: str = "127.0.0.1",
        http_port: int | None = 4318,
        grpc_port: int | None = None,
        clean: Clean | None = None,
    ) -> None:
        self.intake = Intake(writer_for(home), clean)
        self.http_port: int | None = None
        self.grpc_port: int | None = None
        self._http: _HttpServer | None = None
        self._grpc: grpc.Server | None = None
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        if http_port is not None:
            self._http = _listen(host, http_port, self.intake)
            self.http_port = self._http.server_port
        if grpc_port is not None:
            self._grpc, self.grpc_port = _grpc_server(f"{host}:{grpc_port}", self.intake)

    def start(self) -> None:
        """Begin to answer, in the background."""
        if self._http is not None:
            self._thread = threading.Thread(
                target=self._http.serve_forever, args=(0.1,), name="burnish-receive", daemon=True
            )
            self._thread.start()
        if self._grpc is not None:
            self._grpc.start()

    def wait(self) -> None:
        """Block until `stop` is called or the user interrupts."""
        self._stopped.wait()

    def stop(self) -> None:
        """Finish the requests at hand and close the ports."""
        if self._http is not None:
            if self._thread is not None:
                self._http.shutdown()
                self._thread.join()
            self._http.server_close()
        if self._grpc is not None:
            self._grpc.stop(grace=5).wait()
        self.intake.writer.flush()
        self._stopped.set()


class Taken(NamedTuple):
    """What became of the spans of a request."""

    spans: int
    refused: int = 0
    reason: str = ""


class Intake:
    """From the bytes of a request to the journal."""

    def __init__(self, writer: JournalWriter, clean: Clean | None = None) -> None:
        self.writer = writer
        self._clean = clean
        self.spans = 0
        self.refused = 0
        """Requests and spans that were refused."""

    def take(self, request: bytes) -> Taken:
        """Write the spans of an ExportTraceServiceRequest that have the declared form.

        Returns:
            How many spans are in the journal, how many were refused, and why.

        Raises:
            JournalCorrupt: If the bytes are no such request, or none of its spans has that form.
            OSError: If the journal takes nothing now; the sender should try again.
        """
        batch: list[Span] = []
        taken, refusals = 0, list[SpanRefused]()
        for span in OtlpReader().admit(request):
            if isinstance(span, SpanRefused):
                refusals.append(span)
                continue
            batch.append(span)
            if len(batch) >= _BATCH:
                taken += self._write(batch)
                batch = []
        taken += self._write(batch)
        if refusals and not taken:
            raise refusals[0]
        self.refused += len(refusals)
        for refused in refusals[:1]:
            _LOG.warning("%d of %d spans: %s", len(refusals), len(refusals) + taken, refused)
        return Taken(taken, len(refusals), str(refusals[0]) if refusals else "")

    def _write(self, spans: list[Span]) -> int:
        events: list[SpanReceived] = []
        contents: dict[Ref, bytes] = {}
        for span in spans:
            event, blobs = take_apart(span if self._clean is None else cleaned(span, self._clean))
            events.append(event)
            contents.update(blobs)
        if events:
            self.writer.append_all(events, contents)
        self.spans += len(events)
        return len(events)


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], intake: Intake) -> None:
        self.intake = intake
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "burnish"
    sys_version = ""

    def do_POST(self) -> None:
        intake = cast("_HttpServer", self.server).intake
        try:
            body = self._body()
        except _Refused as refused:
            intake.refused += 1
            self.close_connection = True  # its body was not read
            self._answer(refused.status, refused.reason)
            return
        status, reason = _take(intake, body)
        self._answer(status, reason)

    def _body(self) -> bytes:
        if self.path.rstrip("/") != "/v1/traces":
            raise _Refused(HTTPStatus.NOT_FOUND, "this server takes POST /v1/traces")
        kind = self.headers.get("content-type", "").split(";")[0].strip()
        if kind != "application/x-protobuf":
            raise _Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "set the sender's protocol to http/protobuf"
            )
        length = self.headers.get("content-length", "")
        if not length.isdigit():
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing")
        if int(length) > _LARGEST:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {_LARGEST} bytes")
        body = self.rfile.read(int(length))
        if self.headers.get("content-encoding", "identity") == "gzip":
            return _unzip(body)
        return body

    def _answer(self, status: HTTPStatus, reason: str = "") -> None:
        content = b"" if status == HTTPStatus.OK else reason.encode()
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf" if not content else "text/plain")
        self.send_header("content-length", str(len(content)))
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.send_header("retry-after", str(_RETRY_AFTER_S))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        _LOG.debug(format, *args)


class _Refused(ServingError):
    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def _unzip(body: bytes) -> bytes:
    """Decompress at most as much as a request may have."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        content = unpacker.decompress(body, _LARGEST + 1)
    except (zlib.error, gzip.BadGzipFile) as error:
        raise _Refused(HTTPStatus.BAD_REQUEST, f"no gzip: {error}") from error
    if len(content) > _LARGEST:
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {_LARGEST} bytes")
    return content


def _take(intake: Intake, body: bytes) -> tuple[HTTPStatus, str]:
    try:
        intake.take(body)
    except JournalCorrupt as error:
        intake.refused += 1
        return HTTPStatus.BAD_REQUEST, str(error)
    except (OSError, WorkspaceError) as error:
        intake.refused += 1
        _LOG.warning("spans are refused, their senders shall try again: %s", error)
        return HTTPStatus.SERVICE_UNAVAILABLE, str(error)
    return HTTPStatus.OK, ""


def _listen(host: str, port: int, intake: Intake) -> _HttpServer:
    try:
        return _HttpServer((host, port), intake)
    except OSError as error:
        raise ServingError(
            f"{host}:{port} cannot be listened on: {error.strerror}",
            "a free port",
            "burnish receive --http-port 0",
        ) from error


def _grpc_server(address: str, intake: Intake) -> tuple[grpc.Server, int]:
    try:
        import grpc
    except ImportError as error:
        raise SettingsError(
            "OTLP over gRPC needs the package grpcio",
            "it to be installed",
            "pip install 'burnish[grpc]'",
        ) from error
    from concurrent.futures import ThreadPoolExecutor

    codes = {
        HTTPStatus.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
        HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    }

    def export(request: bytes, context: grpc.ServicerContext) -> bytes:
        status, reason = _take(intake, request)
        if status != HTTPStatus.OK:
            context.abort(codes[status], reason)
        return b""

    method = grpc.unary_unary_rpc_method_handler(export)
    service, name = GRPC_METHOD.strip("/").split("/")
    handlers = grpc.method_handlers_generic_handler(service, {name: method})
    options = [("grpc.max_receive_message_length", _LARGEST), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(8), handlers=[handlers], options=options)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ServingError(
            f"{address} cannot be listened on", "a free port", "burnish receive --grpc-port 0"
        ) from error
    return server, port


def serve(
    home: Path,
    host: str = "127.0.0.1",
    http_port: int | None = 4318,
    grpc_port: int | None = None,
    *,
    clean: Clean | None = None,
    ready: Callable[[OtlpServer], None] | None = None,
) -> None:
    """Receive until the user interrupts; what `burnish receive` runs.

    Args:
        home: Folder of the workspace.
        host: Address to listen on.
        http_port: Port for OTLP/HTTP, None for none.
        grpc_port: Port for OTLP/gRPC, None for none.
        clean: What is done to the attributes of each span before they reach the disk.
        ready: Called once it listens.
    """
    server = OtlpServer(home, host, http_port, grpc_port, clean)
    server.start()
    try:
        if ready is not None:
            ready(server)
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
