"""Implement `burnish receive`, `forget`, `archive` and `traces ship`: commands on the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli.options import AsJson, Home, TokenFile
from burnish.cli.output import parse_moment, print_json, print_table
from burnish.errors import SettingsError

if TYPE_CHECKING:
    from burnish.telemetry.intake.receiver import OtlpServer


def receive_spans(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of OTLP/HTTP.")] = 4318,
    grpc_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of OTLP/gRPC; none by default.")
    ] = None,
    token_file: TokenFile = None,
    home: Home = None,
) -> None:
    """Receive OTLP from other processes and hosts into this workspace, until interrupted.

    Spans are redacted as `redact` says before they are written. Beyond loopback, senders must send
    the token of BURNISH_TOKEN or --token-file.

    Example: `burnish receive --http-port 4318 --grpc-port 4317`
    """
    from burnish import settings
    from burnish.capture.content.redaction_door import door
    from burnish.http_guard import read_token
    from burnish.telemetry.intake.receiver import OtlpServer, run_server
    from burnish.workspace import Workspace

    def ready(server: OtlpServer) -> None:
        ports = [f"http://{host}:{server.http_port}"]
        if server.grpc_port is not None:
            ports.append(f"grpc://{host}:{server.grpc_port}")
        typer.echo(f"receiving on {' and '.join(ports)}; Ctrl-C ends it")

    folder = Workspace(home).home
    settings.configure(home=folder)
    guard = door()
    clean = None if guard is None else guard.value
    token = read_token(token_file)
    counts = run_server(OtlpServer(folder, host, http_port, grpc_port, clean, token), ready)
    typer.echo("; ".join(f"{count} {kind}" for kind, count in counts.items()) or "nothing came")


def forget_runs(
    thread: Annotated[str | None, typer.Option(help="Id of a thread.")] = None,
    user: Annotated[str | None, typer.Option(help="Id of a user.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Remove what was recorded of a thread or a user, and name what was built from it.

    Give the original name also where names were redacted: the workspace's key yields its pseudonym.

    Example: `burnish forget --user u-17`
    """
    from burnish.workspace import Workspace

    report = Workspace(home).forget(thread_id=thread, user=user)
    if as_json:
        print_json(report)
        return
    print_table(
        f"forgotten ({report.id})",
        ["what", "number", "names"],
        (
            ("trajectories", len(report.trajectories), ""),
            ("frames blanked", report.frames, ""),
            ("segments that wait", len(report.pending), ", ".join(report.pending)),
            ("datasets that hold it", len(report.datasets), ", ".join(report.datasets)),
            ("adapters trained on it", len(report.adapters), ", ".join(report.adapters)),
            ("agents that serve it", len(report.deployments), ", ".join(report.deployments)),
            ("contents removed at content_url", report.contents, ""),
            ("contents left there", len(report.contents_left), "\n".join(report.contents_left)),
            ("stay: maybe of others", len(report.doubtful), ", ".join(report.doubtful)),
            ("not looked into: damaged", len(report.unread), "\n".join(report.unread)),
        ),
    )


def archive_journal(
    url: Annotated[str, typer.Argument(help="Folder or any fsspec URL, such as s3://bucket/x.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Move closed segments of the journal to Parquet; their trajectories stay readable.

    Example: `burnish archive file:///mnt/archive`
    """
    from burnish.workspace import Workspace

    report = Workspace(home).archive(url)
    if as_json:
        print_json(report)
        return
    typer.echo(
        f"{report.archived} segments archived, {report.bytes_before} -> {report.bytes_after} bytes; "
        f"{report.claimed} wait for an exporter, {report.damaged} stay because of damage"
    )


def ship_traces(
    since: Annotated[str, typer.Option(help="Earliest start: 90m, 6h, 2d or a date.")],
    endpoint: Annotated[
        str | None, typer.Option(help="OTLP endpoint; that of the settings by default.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Send the spans of trajectories that started since then, also those already shipped.

    Example: `burnish traces ship --since 6h`
    """
    from burnish import settings
    from burnish.telemetry.delivery.delivery_loop import build_policy
    from burnish.telemetry.delivery.shipper import build_receivers, send_again
    from burnish.workspace import Workspace

    chosen = settings.configure(otlp_endpoint=endpoint) if endpoint else settings.current()
    receivers = build_receivers(chosen)
    if not receivers:
        raise SettingsError(
            "no OTLP endpoint is set", "a collector's URL", "burnish traces ship --endpoint URL"
        )
    spans = list(Workspace(home).spans(parse_moment(since, "--since")))
    counts = {each.name: send_again(spans, each, build_policy(chosen)) for each in receivers}
    for receiver in receivers:
        receiver.close()
    if as_json:
        print_json(counts)
    else:
        rows = ((name, c["taken"], c["refused"], c["failed"]) for name, c in counts.items())
        print_table("shipped", ["to", "taken", "refused", "failed"], rows)
    if any(count["failed"] for count in counts.values()):
        raise typer.Exit(1)
