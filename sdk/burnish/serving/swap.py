"""Swap versions: load the next version, prove it, let the caller flip, drain and unload an old one.

`swap` runs these steps and measures each. The caller's `flip` moves the pointer.

A name is never loaded with other content than before, and the version before the flip stays loaded,
so that a rollback needs no load: `retire` is the version before that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from burnish.errors import BurnishError, UnknownAdapter
from burnish.protocols import Backend


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwapTimes:
    """Milliseconds of each step; `swap_ms` is the time from load to flip, which users wait for."""

    load_ms: float
    probe_ms: float
    flip_ms: float
    drain_ms: float

    @property
    def swap_ms(self) -> float:
        """Return the time from the start until new requests use the new version."""
        return self.load_ms + self.probe_ms + self.flip_ms


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swap:
    """A swap to make: the next version and its folder, and an old version to unload afterwards."""

    version: str
    path: Path
    retire: str | None = None
    probe: bool = True


def swap(backend: Backend, plan: Swap, flip: Callable[[], object]) -> SwapTimes:
    """Swap on one backend.

    Args:
        backend: The backend.
        plan: The versions to swap.
        flip: Moves the pointer; called once the new version is proven.

    Raises:
        BurnishError: If loading or proving fails; then nothing was flipped, and the version that
            failed is not loaded.
    """
    started = time.perf_counter()
    backend.load(plan.version, plan.path)
    loaded = time.perf_counter()
    if plan.probe:
        try:
            backend.probe(plan.version)
        except BurnishError:
            with contextlib.suppress(UnknownAdapter):
                backend.unload(plan.version)
            raise
    proven = time.perf_counter()
    flip()
    flipped = time.perf_counter()
    if plan.retire is not None:
        with contextlib.suppress(UnknownAdapter):
            backend.unload(plan.retire)
    drained = time.perf_counter()
    return SwapTimes(
        load_ms=1e3 * (loaded - started),
        probe_ms=1e3 * (proven - loaded),
        flip_ms=1e3 * (flipped - proven),
        drain_ms=1e3 * (drained - flipped),
    )
