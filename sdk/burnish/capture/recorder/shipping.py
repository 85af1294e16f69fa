"""The way from capture to whoever ships spans. Knows: when shipping starts. Not: how it is done."""

from __future__ import annotations

import importlib
from typing import Any

from burnish import settings
from burnish.capture.faults import guarded
from burnish.files import platform

_seen: settings.Settings | None = None


@guarded
def start() -> None:
    """Have a shipper run where the settings name someone to ship to."""
    global _seen
    now = settings.current()
    if now is _seen:
        return
    _seen = now
    if now.otlp_endpoint or now.exporters:
        _shipper().ensure_started()


def flush(timeout_s: float) -> int:
    """Have what was captured shipped; returns the number of spans that are left."""
    now = settings.current()
    if not (now.otlp_endpoint or now.exporters):
        return 0
    return _shipper().flush_receivers(timeout_s)


def _shipper() -> Any:
    """The module that ships, by name: telemetry makes events of received spans with the recorder."""
    return importlib.import_module("burnish.telemetry.delivery.shipper")


def _after_fork_in_child() -> None:
    global _seen
    _seen = None  # threads are not inherited: the child has no shipper yet


platform.after_fork_in_child(_after_fork_in_child)
