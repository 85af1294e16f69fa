"""A swap: load the next version, prove it, let the caller flip, drain and unload an old one.

Knows: the order of these steps and how long each took.
Does not know: pointers (the caller's `flip`), which version should be next.

Nothing is ever loaded under a name that was used before, and the version that a flip leaves stays
loaded, so that going back needs no load: `retire` is the one before it.
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
    """Milliseconds of each step; `swap_ms` is load to flip, what a user waits for."""

    load_ms: float
    probe_ms: float
    flip_ms: float
    drain_ms: float

    @property
    def swap_ms(self) -> float:
        """From the start until new requests go to the new version."""
        return self.load_ms + self.probe_ms + self.flip_ms


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swap:
    """What to swap: the next version and its folder, and an old version to unload afterwards."""

    version: str
    path: Path
    retire: str | None = None
    probe: bool = True


def swap(backend: Backend, plan: Swap, flip: Callable[[], object]) -> SwapTimes:
    """Swap on one backend.

    Args:
        backend: Where.
        plan: What.
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
