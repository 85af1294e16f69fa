"""Find runs whose beginning is damaged, so that their thread and user are unknown.

The beginning of a run names its thread and user; a run without it is in no list of runs. Its other
events are whole and hold texts. If the damaged bytes still contain the name, the run is attributed
to that name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from burnish.files.storage import read_regular
from burnish.journal import frames
from burnish.journal.events import (
    UNREADABLE,
    Dropped,
    OutcomeReported,
    StateRecorded,
    VerdictGiven,
    decode,
)
from burnish.journal.reader import process_folders, segments

_FACTS = (Dropped, OutcomeReported, StateRecorded, VerdictGiven)
_LONG_NAME = 6  # bytes of a name that is searched without the field that holds it


class Orphans(NamedTuple):
    """Runs without a beginning: those of a name, and those of an unknown owner."""

    named: list[str]
    doubtful: list[str]


class _Damaged(NamedTuple):
    """Damaged bytes, and the first run without a beginning after them in their segment."""

    content: bytes
    next: str | None


def find_orphans(home: Path, field: str, names: Iterable[str], started: Collection[str]) -> Orphans:
    """Find the runs without a beginning in the segments of a workspace.

    A run belongs to a name if damaged bytes contain both, or contain the name directly before the
    run.

    Args:
        home: Folder of the workspace.
        field: "thread_id" or "user".
        names: The name, in each form that may be written.
        started: Runs of which the beginning is known.
    """
    orphans: dict[str, None] = {}
    damaged: list[_Damaged] = []
    for folder in process_folders(home):
        for path in segments(folder):
            _read_segment(path, started, orphans, damaged)
    if not orphans or not damaged:
        return Orphans([], sorted(orphans))
    forms = [form for name in names for form in _forms_of_name(field, name)]
    named: set[str] = set()
    for one in damaged:
        ids = {run for run in orphans if run.encode() in one.content}
        if any(form in one.content for form in forms):
            named |= ids or ({one.next} if one.next else set())
    return Orphans(sorted(named), sorted(set(orphans) - named))


def _read_segment(
    path: Path, started: Collection[str], orphans: dict[str, None], damaged: list[_Damaged]
) -> None:
    try:
        data = read_regular(path)
    except OSError:
        return
    waiting: list[bytes] = []
    for kind, start, end in frames.split(data):
        if kind == frames.DAMAGE:
            waiting.append(data[start:end])
        elif kind == frames.EVENT:
            payload = data[start + frames.PREFIX.size : end]
            try:
                event = decode(payload)
            except UNREADABLE:
                waiting.append(payload)
                continue
            run = event.trajectory
            if run and run not in started and not isinstance(event, _FACTS):
                fresh = run not in orphans
                orphans[run] = None
                if fresh:
                    damaged += [_Damaged(content, run) for content in waiting]
                    waiting.clear()
    damaged += [_Damaged(content, None) for content in waiting]


def _forms_of_name(field: str, name: str) -> Iterable[bytes]:
    """Return the encodings of a name in an event: with its field, and if long also without it."""
    try:
        encoded = msgspec.msgpack.encode(name)
    except UnicodeEncodeError:
        return
    yield msgspec.msgpack.encode(field) + encoded
    if len(encoded) > _LONG_NAME:
        yield encoded
