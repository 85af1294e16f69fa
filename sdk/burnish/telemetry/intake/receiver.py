"""Run the OTLP servers that receive spans of other processes and hosts into one workspace.

`run_server` is what `burnish receive` runs; `http_intake` and `grpc_intake` implement the protocols.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.http_guard import Guard, check_address
from burnish.journal.writer import writer_for
from burnish.telemetry.intake.grpc_intake import make_grpc_server
from burnish.telemetry.intake.http_intake import HttpIntake
from burnish.telemetry.intake.request_intake import Intake
from burnish.telemetry.spans.received_spans import Clean

if TYPE_CHECKING:
    import grpc


class OtlpServer:
    """Writes received spans into the journal of `home`.

    Args:
        home: Folder of the workspace.
        host: Address to listen on; loopback by default.
        http_port: Port for OTLP/HTTP; 0 picks a free one, None disables it.
        grpc_port: Port for OTLP/gRPC; 0 picks a free one, None disables it.
        clean: Redacts the attributes of each span before they are written.
        token: Bearer token that senders must send; required beyond loopback.

    Raises:
        SettingsError: If the address is beyond loopback and no token is set.
        ServingError: If an address cannot be listened on.
    """

    def __init__(
        self,
        home: Path,
        host: str = "127.0.0.1",
        http_port: int | None = 4318,
        grpc_port: int | None = None,
        clean: Clean | None = None,
        token: str | None = None,
    ) -> None:
        check_address(host, token, "burnish receive")
        guard = Guard(token)
        self.intake = Intake(writer_for(home), clean)
        self.http_port: int | None = None
        self.grpc_port: int | None = None
        self._http: HttpIntake | None = None
        self._grpc: grpc.Server | None = None
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        if http_port is not None:
            self._http = HttpIntake(host, http_port, self.intake, guard)
            self.http_port = self._http.server_port
        if grpc_port is not None:
            self._grpc, self.grpc_port = make_grpc_server(host, grpc_port, self.intake, guard)

    def start(self) -> None:
        """Start serving in the background."""
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
        """Finish the current requests and close the ports."""
        if self._http is not None:
            if self._thread is not None:
                self._http.shutdown()
                self._thread.join()
            self._http.server_close()
        if self._grpc is not None:
            self._grpc.stop(grace=5).wait()
        self.intake.record_refusals()
        self.intake.writer.flush()
        self._stopped.set()


def run_server(
    server: OtlpServer, ready: Callable[[OtlpServer], None] | None = None
) -> dict[str, int]:
    """Receive until the user interrupts.

    Args:
        server: The server to run.
        ready: Called when the server listens.

    Returns:
        Counts of stored, refused and skipped items.
    """
    server.start()
    try:
        if ready is not None:
            ready(server)
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
    return server.intake.counts
