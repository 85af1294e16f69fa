"""Small events that tests of the journal write and find again."""

from __future__ import annotations

from pathlib import Path

from burnish.journal import events as e
from burnish.journal.reader import ReadReport, read_events


def dropped(number: int) -> e.Dropped:
    return e.Dropped(at=number, counts={"n": number})


def state(number: int, content: str) -> tuple[e.StateRecorded, dict[e.Ref, bytes]]:
    blob = e.canonical(content)
    ref = e.ref_of(blob)
    return e.StateRecorded(at=number, trajectory=str(number), state=ref), {ref: blob}


def numbers(home: Path, report: ReadReport | None = None) -> list[int]:
    return [event.counts["n"] for event, _ in read_events(home, report=report)]
