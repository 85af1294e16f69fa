"""Start the shipper when the settings name a receiver, and flush it."""

from __future__ import annotations

import importlib
from typing import Any

from burnish import settings
from burnish.capture.faults import guarded
from burnish.files import platform

_seen: settings.Settings | None = None


@guarded
def start() -> None:
    """Start a shipper if the settings name a receiver."""
    global _seen
    now = settings.current()
    if now is _seen:
        return
    _seen = now
    if now.otlp_endpoint or now.exporters:
        _shipper().ensure_started()


def flush(timeout_s: float) -> int:
    """Ship everything captured; return the number of remaining spans."""
    now = settings.current()
    if not (now.otlp_endpoint or now.exporters):
        return 0
    return _shipper().flush_receivers(timeout_s)


def _shipper() -> Any:
    """Return the module that ships, imported by name: telemetry makes events with the recorder."""
    return importlib.import_module("burnish.telemetry.delivery.shipper")


def _after_fork_in_child() -> None:
    global _seen
    _seen = None  # threads are not inherited: the child has no shipper yet


platform.after_fork_in_child(_after_fork_in_child)
