"""The way from capture to whoever ships spans. Knows: when shipping starts. Not: how it is done."""

from __future__ import annotations

import importlib
import importlib.util

from burnish import settings
from burnish.capture import faults


@faults.guarded
def start_shipping() -> None:
    """Have a background thread ship the journal, where the settings name a receiver."""
    wanted = settings.current()
    if wanted.otlp_endpoint or wanted.exporters:
        importlib.import_module("burnish.telemetry.shipper").ensure_started()


def flush_shippers(timeout_s: float) -> int:
    """Have what was captured shipped; returns the number of spans that are left."""
    if importlib.util.find_spec("burnish.telemetry.shipper") is None:
        return 0
    shipper = importlib.import_module("burnish.telemetry.shipper")
    flush = getattr(shipper, "flush", None)
    return int(flush(timeout_s) or 0) if flush is not None else 0
