"""Serve OTLP over gRPC: three Export methods, status codes, and the token in the metadata.

`make_grpc_server` is the entry; `intake` stores the spans.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from burnish.errors import JournalCorrupt, ServingError, SettingsError
from burnish.http_guard import LARGEST_BODY, Guard, RequestRefused
from burnish.telemetry.delivery.batch_delivery import GRPC_METHOD
from burnish.telemetry.intake.request_intake import Intake, encode_partial_success, take_or_refuse
from burnish.telemetry.otlp.limits import check_size

if TYPE_CHECKING:
    import grpc

_AT_ONCE = 16  # calls; gRPC holds each whole request in memory before it is handled
_LEFT_OUT = {
    "opentelemetry.proto.collector.logs.v1.LogsService": "logs",
    "opentelemetry.proto.collector.metrics.v1.MetricsService": "metrics",
}


def make_grpc_server(host: str, port: int, intake: Intake, guard: Guard) -> tuple[grpc.Server, int]:
    """Make a server that listens for OTLP/gRPC; return it, not started, with its port.

    Raises:
        SettingsError: If the package grpcio is missing.
        ServingError: If the address cannot be listened on.
    """
    try:
        import grpc
    except ImportError as error:
        raise SettingsError(
            "OTLP over gRPC needs the package grpcio",
            "grpcio installed",
            "pip install 'burnish[grpc]'",
        ) from error
    from concurrent.futures import ThreadPoolExecutor

    service, name = GRPC_METHOD.strip("/").split("/")
    calls: dict[str, Callable[[bytes], bytes]] = {
        service: lambda request: encode_partial_success(take_or_refuse(intake, request))
    }
    for other, signal in _LEFT_OUT.items():
        calls[other] = _count_signal(intake, signal)
    handlers = [
        grpc.method_handlers_generic_handler(
            owner, {name: grpc.unary_unary_rpc_method_handler(_guard_call(call, intake, guard))}
        )
        for owner, call in calls.items()
    ]
    options = [("grpc.max_receive_message_length", LARGEST_BODY), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(8, "burnish-grpc"), handlers, None, options, _AT_ONCE)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return server, server.add_insecure_port(address)
    except RuntimeError as error:
        raise ServingError(
            f"{address} cannot be listened on", "a free port", "burnish receive --grpc-port 0"
        ) from error


def _count_signal(intake: Intake, signal: str) -> Callable[[bytes], bytes]:
    def take(request: bytes) -> bytes:
        try:
            intake.add_count(signal, check_size(request))
        except JournalCorrupt as error:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, str(error)) from error
        return b""

    return take


def _guard_call(
    call: Callable[[bytes], bytes], intake: Intake, guard: Guard
) -> Callable[[bytes, Any], bytes]:
    import grpc

    codes = {
        HTTPStatus.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
        HTTPStatus.UNAUTHORIZED: grpc.StatusCode.UNAUTHENTICATED,
        HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    }

    def export(request: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            metadata = dict(context.invocation_metadata() or ())
            guard.check_token(str(metadata.get("authorization", "")))
            return call(request)
        except RequestRefused as refused:
            intake.add_count("refused_requests")
            context.abort(codes[refused.status], refused.reason)
            raise  # abort has raised already

    return export
