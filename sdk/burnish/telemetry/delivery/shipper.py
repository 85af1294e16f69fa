"""Ship the journal in background threads, one for each receiver.

`ensure_started` is the entry; `delivery_loop` makes and sends the batches.
"""

# How it works: one shipper per process follows the current settings object. A thread wakes twice a
# second or when a flush asks, and makes one round of its loop. A forked child starts its own shipper;
# at exit the shipper flushes for at most five seconds, and later processes ship the rest.

from __future__ import annotations

import atexit
import hashlib
import itertools
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from burnish import settings as burnish_settings
from burnish.files import platform
from burnish.journal import cursor as cursors
from burnish.journal.layout import journal_folder
from burnish.journal.writer import writer_for
from burnish.records import Span
from burnish.settings import Settings
from burnish.telemetry.delivery.batch_delivery import AnyExporter, OtlpGrpc, OtlpHttp, Receiver
from burnish.telemetry.delivery.cursor_reader import count_bytes_after
from burnish.telemetry.delivery.delivery_loop import (
    DeliveryLoop,
    ShippingPolicy,
    build_policy,
    estimate_size,
    send_batch,
)

_IDLE_S = 0.5  # longest wait between two rounds
_EXIT_S = 5.0


class Shipper:
    """Ships one workspace to its receivers until closed; never blocks writers."""

    def __init__(self, home: Path, receivers: Sequence[Receiver], policy: ShippingPolicy) -> None:
        self.home = home.absolute()
        self.loops = [DeliveryLoop(self.home, receiver, policy) for receiver in receivers]
        self._stop = threading.Event()
        self._wakes = [threading.Event() for _ in self.loops]
        self._rounds = [0 for _ in self.loops]
        self._turned = threading.Condition()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start shipping in the background."""
        for number, channel in enumerate(self.loops):
            thread = threading.Thread(
                target=self._ship_in_background,
                args=(number, channel),
                name=f"burnish-ship-{channel.receiver.name}",
                daemon=True,
            )
            self._threads.append(thread)
            thread.start()

    def flush(self, timeout_s: float = 10.0) -> dict[str, int]:
        """Offer everything written so far; return how many spans each receiver has not accepted."""
        deadline = time.monotonic() + timeout_s
        with self._turned:
            # the current round may have read before the last event: wait for the next one too
            wanted = [done + 2 for done in self._rounds]
            for wake in self._wakes:
                wake.set()
            while any(done < want for done, want in zip(self._rounds, wanted, strict=True)):
                left = deadline - time.monotonic()
                if left <= 0 or not self._turned.wait(left):
                    break
                for wake in self._wakes:
                    wake.set()
        own = self._own_folder()
        return {channel.receiver.name: channel.count_unshipped(own) for channel in self.loops}

    def close(self, timeout_s: float = _EXIT_S) -> None:
        """Stop the threads; unshipped spans stay in the journal for the next process."""
        self._stop.set()
        for wake in self._wakes:
            wake.set()
        for thread in self._threads:
            thread.join(timeout_s)
        for channel, thread in zip(self.loops, self._threads, strict=True):
            if not thread.is_alive():
                channel.close()

    def _wait_for_retry(self, wake: threading.Event, seconds: float) -> bool:
        """Wait before the next try or until a flush asks for one; return True to stop."""
        wake.wait(seconds)
        wake.clear()
        return self._stop.is_set()

    def _own_folder(self) -> Path | None:
        return writer_for(self.home).folder

    def _ship_in_background(self, number: int, channel: DeliveryLoop) -> None:
        _keep_out_of_traces()
        wake = self._wakes[number]
        while not self._stop.is_set():
            wake.clear()
            channel.ship_pending(
                self._own_folder(), lambda seconds: self._wait_for_retry(wake, seconds)
            )
            with self._turned:
                self._rounds[number] += 1
                self._turned.notify_all()
            wake.wait(_IDLE_S)


def build_receivers(settings: Settings) -> list[Receiver]:
    """Build all receivers that the settings name, with stable names."""
    found: list[Receiver] = []
    if settings.otlp_endpoint:
        digest = hashlib.blake2b(settings.otlp_endpoint.encode(), digest_size=4).hexdigest()
        over_grpc = settings.otlp_endpoint.startswith(("grpc://", "grpcs://"))
        kind = OtlpGrpc if over_grpc else OtlpHttp
        found.append(kind(settings.otlp_endpoint, f"otlp-{digest}"))
    for number, exporter in enumerate(settings.exporters):
        name = getattr(exporter, "burnish_name", None) or f"{type(exporter).__name__}-{number}"
        found.append(AnyExporter(exporter, name))
    return found


def ensure_started() -> Shipper | None:
    """Return this process's shipper, started if the settings name a receiver; else None."""
    global _running, _running_for
    settings = burnish_settings.current()
    if _running_for is settings:
        return _running
    with _lock:
        if _running_for is not settings:
            if _running is not None:
                _running.close()
            receivers = [*build_receivers(settings), *_build_meter_receivers(settings)]
            _running = (
                Shipper(settings.home, receivers, build_policy(settings)) if receivers else None
            )
            if _running is not None:
                _running.start()
            _running_for = settings
    return _running


def flush_receivers(timeout_s: float = 10.0) -> int:
    """Offer everything to the current receivers; return how many spans they have not accepted."""
    shipper = ensure_started()
    return 0 if shipper is None else sum(shipper.flush(timeout_s).values())


def measure_lag(home: Path) -> dict[str, int]:
    """Return the unshipped journal bytes of each exporter that has a cursor, by name."""
    behind: dict[str, int] = {}
    for path in sorted(cursors.folder_of(home).glob("*.cursor")):
        exporter, process = path.stem.split(".", 1)
        cursor = cursors.read(path) or cursors.Cursor()
        behind[exporter] = behind.get(exporter, 0) + count_bytes_after(
            journal_folder(home) / process, cursor
        )
    return behind


_COUNTED_AS = {"taken": "taken", "later": "failed", "unclear": "failed"}


def send_again(
    spans: Iterable[Span], receiver: Receiver, policy: ShippingPolicy | None = None
) -> dict[str, int]:
    """Send spans regardless of cursors; return how many were accepted, refused and failed."""
    chosen = policy or ShippingPolicy()
    counts = {"taken": 0, "refused": 0, "failed": 0}
    batch: list[Span] = []
    size = 0
    for span in itertools.chain(spans, (None,)):
        weight = 0 if span is None else estimate_size(span)
        if batch and (span is None or size + weight > chosen.batch_bytes):
            answer = send_batch(receiver, batch, chosen.content, chosen.store)
            key = _COUNTED_AS.get(answer.result, "refused")
            counts[key] += len(batch) - answer.rejected
            counts["refused"] += answer.rejected
            batch, size = [], 0
        if span is not None:
            batch.append(span)
            size += weight
    return counts


def _build_meter_receivers(settings: Settings) -> list[Receiver]:
    """Build the receiver of the user's meter, if a meter provider is set."""
    if "opentelemetry.sdk.metrics" not in sys.modules:
        return []
    from burnish.telemetry.delivery.metrics import make_meter_receiver

    home = settings.home.absolute()
    made = make_meter_receiver(lambda: measure_lag(home))
    return [] if made is None else [made]


def _keep_out_of_traces() -> None:
    """Keep instrumentation from tracing the shipping itself."""
    from opentelemetry import context

    key = getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation")
    context.attach(context.set_value(key, True))


_lock = threading.RLock()
_running: Shipper | None = None
_running_for: Settings | None = None


def _at_exit() -> None:
    shipper = _running
    if shipper is not None:
        shipper.flush(_EXIT_S)
        shipper.close(1.0)


def _after_fork_in_child() -> None:
    global _lock, _running, _running_for
    _lock = threading.RLock()
    _running = None
    _running_for = None


atexit.register(_at_exit)
platform.after_fork_in_child(_after_fork_in_child)
