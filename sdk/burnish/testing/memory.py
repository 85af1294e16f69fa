"""Capture without a disk: a journal in memory, and production behaviour inside a test.

Knows: what was appended. Does not know: frames.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from burnish.capture import faults
from burnish.capture.recorder import sink
from burnish.journal.events import AnyEvent, Event, Ref, encode_all, from_json

_E = TypeVar("_E", bound=Event)


class MemoryJournal:
    """Takes events like the journal's writer, and keeps them in lists.

    `fail_with` makes each append raise, as a full disk would.
    """

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self.blobs: dict[Ref, bytes] = {}
        self.fail_with: Exception | None = None

    def append(self, event: AnyEvent, blobs: Mapping[Ref, bytes] | tuple[()] = ()) -> None:
        """Take one event with its blobs."""
        self.append_all((event,), blobs)

    def append_all(
        self, events: Sequence[AnyEvent], blobs: Mapping[Ref, bytes] | tuple[()] = ()
    ) -> None:
        """Take several events with their blobs; refuses what no reader could take back, as a file does."""
        if self.fail_with is not None:
            raise self.fail_with
        encode_all(events)
        self.blobs.update(blobs)
        self.events.extend(events)

    def flush(self, timeout_s: float | None = None) -> None:
        """Do nothing: there is no disk."""

    def close(self) -> None:
        """Do nothing: there is no file."""

    def of(self, kind: type[_E]) -> list[_E]:
        """Events of one kind, in their order."""
        return [event for event in self.events if isinstance(event, kind)]

    def value(self, ref: Ref | None) -> Any:
        """The content behind a name; None for None."""
        return None if ref is None else from_json(self.blobs[ref])

    def still_open(self) -> set[str]:
        """Spans that were started and never ended."""
        started = {getattr(event, "span") for event in self.events if _starts(event)}  # noqa: B009
        ended = {getattr(event, "span") for event in self.events if _ends(event)}  # noqa: B009
        return started - ended


def _starts(event: AnyEvent) -> bool:
    return type(event).__name__.endswith("Started")


def _ends(event: AnyEvent) -> bool:
    return type(event).__name__.endswith("Ended")


@contextlib.contextmanager
def capturing() -> Iterator[MemoryJournal]:
    """Send what is captured inside to a journal in memory."""
    journal = MemoryJournal()
    before = sink.replace(journal)
    try:
        yield journal
    finally:
        sink.replace(before)


@contextlib.contextmanager
def production_faults() -> Iterator[None]:
    """Inside, a fault of capture is counted and logged as in production, though pytest runs."""
    before = faults.set_raising(False)
    try:
        yield
    finally:
        faults.set_raising(before)
