"""Serve OTLP over HTTP: protobuf and JSON, plain, gzip and chunked.

`HttpIntake` is the server; `intake` stores the spans. It builds on `http.server`, because `burnish
receive` belongs to the base installation. This module adds what `http.server` lacks: a deadline for
every read, and bounds on connections and on bytes in memory.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import socket
import threading
import time
import zlib
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from burnish.errors import JournalCorrupt, ServingError
from burnish.http_guard import (
    BODY_S,
    CONNECTIONS,
    HEADERS_S,
    LARGEST_BODY,
    LINGER_S,
    REALM,
    ByteBudget,
    Guard,
    RequestRefused,
)
from burnish.telemetry.intake.request_intake import (
    Intake,
    Taken,
    encode_partial_success,
    take_or_refuse,
)
from burnish.telemetry.otlp.json_encoding import convert_json_request, count_records
from burnish.telemetry.otlp.limits import check_size

_LOG = logging.getLogger("burnish.receive")
_RETRY_AFTER_S = 5
_PIECE = 64 * 1024
_RATIO = 200  # largest expansion of a compressed body above _MUCH bytes
_MUCH = 16 * 1024 * 1024
_MEMBERS = 10_000  # of a gzip body
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_SIGNALS = {"/v1/traces": "spans", "/v1/logs": "logs", "/v1/metrics": "metrics"}
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})\s*(;[^\r\n]*)?\r?\n")
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: %d\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n" % _RETRY_AFTER_S
)


class HttpIntake(ThreadingHTTPServer):
    """Listens for OTLP/HTTP.

    Raises:
        ServingError: If the address cannot be listened on.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, intake: Intake, guard: Guard) -> None:
        self.intake, self.guard, self.budget = intake, guard, ByteBudget()
        self._slots = threading.BoundedSemaphore(CONNECTIONS)
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise ServingError(
                f"{host}:{port} cannot be listened on: {error.strerror}",
                "a free port",
                "burnish receive --http-port 0",
            ) from error

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in its own thread, or answer 503 if there are too many."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        try:
            request.sendall(_BUSY)
        except OSError:
            pass  # the client has left
        finally:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection until it ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the error of a broken connection at debug level."""
        _LOG.debug("connection of %s ended", client_address, exc_info=True)


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until a deadline, which a slow sender cannot extend."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.deadline = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request did not arrive in time")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "burnish"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self._reader = _DeadlineReader(self.connection)
        self.rfile = io.BufferedReader(self._reader, _PIECE)

    def handle_one_request(self) -> None:
        self._reader.deadline = time.monotonic() + HEADERS_S
        super().handle_one_request()

    def do_POST(self) -> None:
        server = cast("HttpIntake", self.server)
        self._held = 0
        try:
            self._take_request(server)
        except RequestRefused as refused:
            server.intake.add_count("refused_requests")
            self._send_answer(
                refused.status, refused.reason.encode("utf-8", "replace"), "text/plain"
            )
            if self.close_connection:
                self._discard_rest()
        except TimeoutError:
            server.intake.add_count("refused_requests")
            self.close_connection = True
            self._send_answer(HTTPStatus.REQUEST_TIMEOUT, b"the body did not arrive in time", "text/plain")  # fmt: skip
        except Exception:  # noqa: BLE001 - a sender always gets an answer
            server.intake.add_count("refused_requests")
            _LOG.exception("a request could not be handled")
            self.close_connection = True
            self._send_answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"see the log", "text/plain")
        finally:
            server.budget.release_bytes(self._held)

    def _take_request(self, server: HttpIntake) -> None:
        before, self.close_connection = self.close_connection, True  # until the body is read
        if len(self.headers.get_all("host", [])) > 1:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "more than one Host header")
        server.guard.check_headers({key.lower(): value for key, value in self.headers.items()})
        signal = _SIGNALS.get(self.path.partition("?")[0].rstrip("/"))
        if signal is None:
            raise RequestRefused(
                HTTPStatus.NOT_FOUND, f"this server takes POST to {', '.join(_SIGNALS)}"
            )
        kind = self.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind not in (_PROTOBUF, _JSON):
            raise RequestRefused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "set the sender's protocol to http/protobuf or http/json",
            )
        body = self._read_body()
        self.close_connection = before
        if signal != "spans":
            self._count_signal(signal, kind, body)
            return
        try:
            with server.intake.decoding:
                request = convert_json_request(body) if kind == _JSON else body
        except JournalCorrupt as error:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, str(error)) from error
        self._send_result(kind, take_or_refuse(server.intake, request))

    def _send_result(self, kind: str, taken: Taken) -> None:
        if kind == _PROTOBUF:
            self._send_answer(HTTPStatus.OK, encode_partial_success(taken), kind)
            return
        told = {"rejectedSpans": taken.refused, "errorMessage": taken.reason}
        self._send_answer(
            HTTPStatus.OK, _encode_json({"partialSuccess": told} if taken.refused else {}), kind
        )

    def _count_signal(self, signal: str, kind: str, body: bytes) -> None:
        """Answer 200 for logs and metrics, which the journal does not keep, and count them."""
        try:
            number = count_records(body, signal) if kind == _JSON else check_size(body)
        except JournalCorrupt as error:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, str(error)) from error
        cast("HttpIntake", self.server).intake.add_count(signal, number)
        self._send_answer(HTTPStatus.OK, b"{}" if kind == _JSON else b"", kind)

    def _read_body(self) -> bytes:
        self._reader.deadline = time.monotonic() + BODY_S
        encoding = self.headers.get("transfer-encoding", "").strip().lower()
        lengths = self.headers.get_all("content-length", [])
        if encoding:
            if encoding != "chunked" or lengths:
                raise RequestRefused(
                    HTTPStatus.BAD_REQUEST,
                    "Transfer-Encoding must be chunked, without Content-Length",
                )
            body = self._read_chunks()
        else:
            body = self._read_bytes(_parse_length(lengths))
        packing = self.headers.get("content-encoding", "identity").strip().lower()
        if packing == "gzip":
            return self._decompress_body(body)
        if packing not in ("", "identity"):
            raise RequestRefused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the content encoding is gzip or none"
            )
        return body

    def _reserve_bytes(self, count: int) -> None:
        cast("HttpIntake", self.server).budget.reserve_bytes(count)
        self._held += count

    def _read_bytes(self, length: int) -> bytes:
        pieces: list[bytes] = []
        while length > 0:
            piece = self.rfile.read1(min(length, _PIECE))  # pyright: ignore[reportAttributeAccessIssue]
            if not piece:
                raise RequestRefused(
                    HTTPStatus.BAD_REQUEST, "the body is shorter than its Content-Length"
                )
            self._reserve_bytes(len(piece))
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def _read_chunks(self) -> bytes:
        pieces: list[bytes] = []
        total = 0
        while True:
            head = _CHUNK.fullmatch(self.rfile.readline(1024))
            if head is None:
                raise RequestRefused(HTTPStatus.BAD_REQUEST, "a chunk has no size")
            size = int(head[1], 16)
            total += size
            if total > LARGEST_BODY or len(pieces) > LARGEST_BODY // _PIECE * 16:
                raise _too_large()
            if size == 0:
                break
            pieces.append(self._read_bytes(size))
            if self.rfile.readline(3) not in (b"\r\n", b"\n"):
                raise RequestRefused(
                    HTTPStatus.BAD_REQUEST, "a chunk is longer than its size line says"
                )
        for _ in range(100):  # trailers
            if self.rfile.readline(1024) in (b"\r\n", b"\n", b""):
                return b"".join(pieces)
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "too many trailers")

    def _decompress_body(self, body: bytes) -> bytes:
        """Decompress all gzip members, up to the size limit of a request."""
        pieces: list[bytes] = []
        total = members = at = 0
        pending, unpacker = b"", None
        while True:
            if not pending and at < len(
                body
            ):  # in slices, because the remainder is copied each time
                pending, at = body[at : at + _PIECE], at + _PIECE
            if unpacker is None:
                if not pending and members:
                    return b"".join(pieces)
                unpacker = zlib.decompressobj(wbits=31)
                members += 1
            piece, pending = _decompress_piece(unpacker, pending)
            total += len(piece)
            if total > LARGEST_BODY or total > max(_MUCH, _RATIO * len(body)):
                raise _too_large()
            self._reserve_bytes(len(piece))
            pieces.append(piece)
            if unpacker.eof:
                pending, unpacker = unpacker.unused_data, None
            elif not piece and not pending and at >= len(body):
                raise RequestRefused(HTTPStatus.BAD_REQUEST, "the gzip body is truncated")
            if members > _MEMBERS:
                raise RequestRefused(HTTPStatus.BAD_REQUEST, f"more than {_MEMBERS} gzip members")

    def _send_answer(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        if self.close_connection:
            self.send_header("connection", "close")
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.send_header("retry-after", str(_RETRY_AFTER_S))
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("www-authenticate", f'Bearer realm="{REALM}"')
        self.end_headers()
        self.wfile.write(content)

    def _discard_rest(self) -> None:
        """Take what the client still sends: a close before that would reset the connection and the answer."""
        self._reader.deadline = time.monotonic() + LINGER_S
        with contextlib.suppress(OSError):  # the client has left, or sends for longer
            self.connection.shutdown(socket.SHUT_WR)
            while self.rfile.read1(_PIECE):  # pyright: ignore[reportAttributeAccessIssue]
                pass

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        _LOG.debug(format, *args)


def _decompress_piece(unpacker: Any, packed: bytes) -> tuple[bytes, bytes]:
    """Return the next decompressed piece and the remaining input."""
    try:
        piece = unpacker.decompress(packed, _PIECE)
    except zlib.error as error:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, f"the body is not gzip: {error}") from error
    return piece, unpacker.unconsumed_tail


def _parse_length(given: list[str]) -> int:
    if not given:
        raise RequestRefused(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing")
    if len(set(given)) != 1 or not _LENGTH.fullmatch(given[0].strip()):
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "Content-Length is not a number")
    length = int(given[0])
    if length > LARGEST_BODY:
        raise _too_large()
    return length


def _too_large() -> RequestRefused:
    return RequestRefused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body holds at most {LARGEST_BODY} bytes"
    )


def _encode_json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()
