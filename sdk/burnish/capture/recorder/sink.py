"""Write events to the journal of this process, or to a replacement in tests.

`write` is the entry; a refused event is dropped and counted.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

from burnish import settings
from burnish.capture import faults
from burnish.capture.recorder.sealing import readable
from burnish.errors import UnreadableEvent
from burnish.files import platform
from burnish.journal.events import AnyEvent, Ref


class Journal(Protocol):
    """A destination of events; `burnish.journal.writer.JournalWriter` is one."""

    def append(self, event: AnyEvent, blobs: Mapping[Ref, bytes] | tuple[()] = ...) -> None:
        """Append one event with the blobs it names; return once it is acknowledged."""
        ...

    def append_all(
        self, events: Sequence[AnyEvent], blobs: Mapping[Ref, bytes] | tuple[()] = ...
    ) -> None:
        """Append several events at once."""
        ...

    def flush(self, timeout_s: float | None = None) -> None:
        """Force the appended events to the disk."""
        ...


_replacement: Journal | None = None
_bound: Journal | None = None  # the current destination, until the settings change
_lock = threading.RLock()


def replace(journal: Journal | None) -> Journal | None:
    """Send events to `journal` instead of the process's own; return the previous replacement."""
    global _replacement
    before, _replacement = _replacement, journal
    _unbind_journal()
    return before


def is_replaced() -> bool:
    """Return whether the process's own journal is replaced."""
    return _replacement is not None


def journal() -> Journal:
    """Return the current journal."""
    return _bound or _bind_journal()


def _bind_journal() -> Journal:
    global _bound
    from burnish.journal.writer import shared

    with _lock:
        bound = _bound = _replacement or shared()
    return bound


def _unbind_journal() -> None:
    global _bound
    with _lock:
        _bound = None


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()


def write(events: Sequence[AnyEvent], blobs: Mapping[Ref, bytes], losses: dict[str, int]) -> None:
    """Write events in order; the blobs belong to the last. A refusal is counted."""
    try:
        journal = _bound or _bind_journal()
        try:
            journal.append_all(events, blobs)
        except UnreadableEvent:
            journal.append_all(_readable_events(events, losses), blobs)
    except Exception as refusal:  # noqa: BLE001 - a full disk must not stop the agent
        losses["dropped_frames"] = losses.get("dropped_frames", 0) + len(events)
        faults.count("dropped_frames", len(events))
        faults.say_once(
            f"journal refused: {type(refusal).__name__}",
            f"the journal takes no events, they are dropped and counted: {refusal}",
        )


def _readable_events(events: Sequence[AnyEvent], losses: dict[str, int]) -> list[AnyEvent]:
    """Return the events with values of the declared types; drop and count unusable ones."""
    kept: list[AnyEvent] = []
    for event in events:
        try:
            kept.append(readable(event, losses))
        except (UnreadableEvent, TypeError) as problem:
            losses["dropped_frames"] = losses.get("dropped_frames", 0) + 1
            faults.say_once(
                f"unreadable event: {type(event).__name__}",
                f"an event has values that no reader could take back; it is dropped: {problem}",
            )
    return kept


settings.on_change(_unbind_journal)
platform.after_fork_in_child(_after_fork_in_child)
