"""Send batches of spans to a receiver and classify its answer.

Receivers are OTLP over HTTP, OTLP over gRPC, and any OpenTelemetry SpanExporter. `delivery_loop`
decides when to retry.
"""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import unquote

import msgspec

from burnish.errors import SettingsError
from burnish.http_guard import REALM, read_token
from burnish.records import Span
from burnish.telemetry.otlp.codec import ContentMode, encode_request, to_readable

if TYPE_CHECKING:
    import httpx
    from opentelemetry.sdk.trace.export import SpanExporter

_TIMEOUT_S = 30.0
_LONGEST_S = 3600.0
_UNCLEAR = frozenset(("RESOURCE_EXHAUSTED", "INTERNAL", "UNKNOWN"))
_NEVER = frozenset(("INVALID_ARGUMENT", "OUT_OF_RANGE", "DATA_LOSS"))
GRPC_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_LATER = frozenset((401, 403, 404, 408, 429, 502, 503, 504))


class DeliveryResult(msgspec.Struct, frozen=True):
    """The result of sending a batch; "unclear": the answer does not say which side is at fault."""

    result: Literal["taken", "later", "unclear", "refused", "too_large"]
    reason: str = ""
    retry_after_s: float | None = None
    rejected: int = 0  # spans that the receiver rejected from an accepted batch


class Receiver(Protocol):
    """A destination of batches of spans."""

    name: str

    def send(self, spans: Sequence[Span], content: ContentMode) -> DeliveryResult:
        """Send a batch; failures of the receiver are results, not exceptions."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class OtlpHttp:
    """An OTLP/HTTP endpoint, protobuf and gzip."""

    def __init__(self, endpoint: str, name: str | None = None) -> None:
        """Prepare for a collector at `endpoint`: a base URL or the full traces URL.

        Raises:
            SettingsError: If `endpoint` is not an HTTP URL.
        """
        if not endpoint.startswith(("http://", "https://")):
            raise SettingsError(
                f"otlp_endpoint is {endpoint!r}",
                "an HTTP URL",
                'burnish.configure(otlp_endpoint="http://127.0.0.1:4318")',
            )
        base = endpoint.rstrip("/")
        self.url = base if base.endswith("/v1/traces") else f"{base}/v1/traces"
        self.name = name or "otlp"
        self._client: httpx.Client | None = None
        self._token: dict[str, str] = {}  # set when a burnish server asks for it

    def send(self, spans: Sequence[Span], content: ContentMode) -> DeliveryResult:
        """Post a batch as one ExportTraceServiceRequest."""
        import httpx

        body = gzip.compress(encode_request(spans, content), compresslevel=1)
        headers = {
            "content-type": "application/x-protobuf",
            "content-encoding": "gzip",
            **_read_environment_headers(),
            **self._token,
        }
        try:
            if self._client is None:
                self._client = httpx.Client(timeout=_TIMEOUT_S)
            response = self._client.post(self.url, content=body, headers=headers)
            if _asks_for_our_token(response) and not self._token:
                self._token = _token_header()
                headers |= self._token
                response = self._client.post(self.url, content=body, headers=headers)
        except (httpx.HTTPError, OSError) as error:
            return DeliveryResult("later", f"{type(error).__name__}: {error}")
        return _read_response(response)

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None


class OtlpGrpc:
    """An OTLP/gRPC endpoint, given as grpc://HOST:PORT or grpcs://HOST:PORT."""

    def __init__(self, endpoint: str, name: str | None = None) -> None:
        """Prepare for a collector.

        Raises:
            SettingsError: If the package grpcio is missing.
        """
        try:
            import grpc
        except ImportError as error:
            raise SettingsError(
                f"otlp_endpoint is {endpoint!r}, and the package grpcio is missing",
                "grpcio installed",
                "pip install 'burnish[grpc]'",
            ) from error
        self.name = name or "otlp-grpc"
        scheme, _, address = endpoint.partition("://")
        options = [("grpc.max_send_message_length", -1)]
        self._channel = (
            grpc.secure_channel(address, grpc.ssl_channel_credentials(), options)
            if scheme == "grpcs"
            else grpc.insecure_channel(address, options)
        )
        self._call = self._channel.unary_unary(GRPC_METHOD)
        self._token: dict[str, str] = {}

    def send(self, spans: Sequence[Span], content: ContentMode) -> DeliveryResult:
        """Export a batch as one ExportTraceServiceRequest."""
        import grpc

        pairs = {**_read_environment_headers(), **self._token}.items()
        metadata = tuple((key.lower(), value) for key, value in pairs)
        try:
            body = self._call(encode_request(spans, content), timeout=_TIMEOUT_S, metadata=metadata)
        except grpc.RpcError as error:
            code = error.code()  # pyright: ignore[reportAttributeAccessIssue]
            said = error.details() or ""  # pyright: ignore[reportAttributeAccessIssue]
            asked = code is grpc.StatusCode.UNAUTHENTICATED and REALM in said
            if asked and not self._token and _token_header():
                self._token = _token_header()
                return self.send(spans, content)
            reason = f"gRPC {code.name}"
            if code.name in _UNCLEAR:
                return DeliveryResult("unclear", reason)
            return DeliveryResult("refused" if code.name in _NEVER else "later", reason)
        return DeliveryResult("taken", rejected=_count_rejected(body))

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


class AnyExporter:
    """Adapts an OpenTelemetry SpanExporter that the user configured."""

    def __init__(self, exporter: SpanExporter, name: str) -> None:
        self.exporter, self.name = exporter, name

    def send(self, spans: Sequence[Span], content: ContentMode) -> DeliveryResult:
        """Export a batch as ReadableSpans."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            result = self.exporter.export([to_readable(span, content) for span in spans])
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            return DeliveryResult("unclear", f"{type(error).__name__}: {error}")
        if result is SpanExportResult.SUCCESS:
            return DeliveryResult("taken")
        return DeliveryResult("unclear", f"{type(self.exporter).__name__} answered {result}")

    def close(self) -> None:
        """Shut the exporter down."""
        self.exporter.shutdown()


def _read_response(response: httpx.Response) -> DeliveryResult:
    status = response.status_code
    if status < 300:
        return DeliveryResult("taken", rejected=_count_rejected(response.content))
    reason = f"HTTP {status}"
    if status == 413:
        return DeliveryResult("too_large", reason)
    if status >= 500 and status not in _LATER:
        return DeliveryResult("unclear", f"{reason}: {response.text[:200]}")
    if status in _LATER:
        return DeliveryResult(
            "later", reason, _parse_retry_after(response.headers.get("retry-after"))
        )
    return DeliveryResult("refused", f"{reason}: {response.text[:200]}")


def _asks_for_our_token(response: httpx.Response) -> bool:
    """Return True if a burnish server asks for its token; no other server receives it."""
    challenge = response.headers.get("www-authenticate", "")
    return response.status_code == 401 and f'realm="{REALM}"' in challenge


def _token_header() -> dict[str, str]:
    token = read_token()
    return {} if token is None else {"authorization": f"Bearer {token}"}


def _count_rejected(body: bytes) -> int:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        return ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans
    except DecodeError:
        return 0


def _parse_retry_after(header: str | None) -> float | None:
    """Parse a Retry-After header, in seconds or as a date, capped at one hour."""
    if header is None:
        return None
    try:
        wanted = float(header)
    except ValueError:
        try:
            wanted = parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None  # the loop's own backoff applies
    return min(max(0.0, wanted), _LONGEST_S) if wanted == wanted else None


def _read_environment_headers() -> dict[str, str]:
    """Read the headers of OTEL_EXPORTER_OTLP_HEADERS, "name=value,name=value"."""
    pairs = (item.split("=", 1) for item in os.environ.get(_HEADERS, "").split(",") if "=" in item)
    return {name.strip(): unquote(value.strip()) for name, value in pairs}


_HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
