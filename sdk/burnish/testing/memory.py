"""Capture into memory: a journal without a disk, and production behaviour inside a test."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeVar

from burnish.capture import faults
from burnish.capture.recorder import sink
from burnish.journal.events import AnyEvent, Event, Ref, encode_all, from_json

_E = TypeVar("_E", bound=Event)


class MemoryJournal:
    """Accepts events like the journal's writer, and keeps them in lists.

    `fail_with` makes each append raise, like a full disk.
    """

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self.blobs: dict[Ref, bytes] = {}
        self.fail_with: Exception | None = None

    def append(self, event: AnyEvent, blobs: Mapping[Ref, bytes] | tuple[()] = ()) -> None:
        """Append one event with its blobs."""
        self.append_all((event,), blobs)

    def append_all(
        self, events: Sequence[AnyEvent], blobs: Mapping[Ref, bytes] | tuple[()] = ()
    ) -> None:
        """Append events with their blobs; refuse unreadable events, as the writer does."""
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
        """Return the events of one type, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def value(self, ref: Ref | None) -> Any:
        """Return the content of a reference; None for None."""
        return None if ref is None else from_json(self.blobs[ref])

    def list_open_spans(self) -> set[str]:
        """Return the ids of spans that were started and not ended."""
        started = {getattr(event, "span") for event in self.events if _is_start(event)}  # noqa: B009
        ended = {getattr(event, "span") for event in self.events if _is_end(event)}  # noqa: B009
        return started - ended


def _is_start(event: AnyEvent) -> bool:
    return type(event).__name__.endswith("Started")


def _is_end(event: AnyEvent) -> bool:
    return type(event).__name__.endswith("Ended")


@contextlib.contextmanager
def capturing() -> Generator[MemoryJournal]:
    """Send captured events to a journal in memory inside the context."""
    journal = MemoryJournal()
    before = sink.replace(journal)
    try:
        yield journal
    finally:
        sink.replace(before)


@contextlib.contextmanager
def production_faults() -> Generator[None]:
    """Count and log faults of capture as in production, although pytest runs."""
    before = faults.set_raising(False)
    try:
        yield
    finally:
        faults.set_raising(before)
