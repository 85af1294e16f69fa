"""Removes what was recorded of somebody, in place, and remembers that it was asked to.

Knows: tombstones, which frames and contents belong to some trajectories, how a frame is blanked.
Does not know: who asked, what was made of the content (forgetting).

A frame is overwritten by one of the same length that says nothing: no offset moves, so cursors,
indexes and readers stay right. A segment that a living process still writes waits: what lies there
is hidden at once and blanked once it is closed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from burnish.journal import frames
from burnish.journal.events import (
    AnyEvent,
    OutcomeReported,
    Ref,
    SpanReceived,
    decode,
)
from burnish.journal.reader import is_alive, process_folders, segments
from burnish.journal.sharing import inner_of, refs_of_link
from burnish.storage import atomic_write, make_private_folder

_SEAL_BYTES = 64  # more than any seal takes


class Tombstone(msgspec.Struct, kw_only=True):
    """That something was forgotten, without what it was."""

    id: str
    at: int
    kind: str  # thread or user
    digest: str  # of the thread or user
    trajectories: list[str]
    threads: list[str] = []  # digests of the threads whose outcomes go too
    frames: int = 0
    pending: list[str] = []  # segments that were still being written


def digest_of(name: str) -> str:
    """What a tombstone keeps of a name."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def folder_of(home: Path) -> Path:
    """Folder of all tombstones."""
    return home / "tombstones"


def tombstones(home: Path) -> list[Tombstone]:
    """All that was forgotten, oldest first."""
    paths = sorted(folder_of(home).glob("*.json"))
    return [msgspec.json.decode(path.read_bytes(), type=Tombstone) for path in paths]


def save(home: Path, stone: Tombstone) -> None:
    """Write a tombstone, before anything is erased and again afterwards."""
    make_private_folder(folder_of(home))
    atomic_write(folder_of(home) / f"{stone.at}-{stone.id}.json", msgspec.json.encode(stone))


class Forgotten:
    """Says of an event whether it was forgotten."""

    def __init__(self, stones: list[Tombstone]) -> None:
        self.trajectories = {key for stone in stones for key in stone.trajectories}
        self._threads: dict[str, int] = {}
        for stone in stones:
            for digest in stone.threads:
                self._threads[digest] = max(stone.at, self._threads.get(digest, 0))

    def holds(self, trajectory: str | None, thread_id: str | None, at: int) -> bool:
        """Whether an event of this trajectory, or of this thread then, was forgotten."""
        if trajectory is not None:
            return trajectory in self.trajectories
        if thread_id is None or not self._threads:
            return False
        return at <= self._threads.get(digest_of(thread_id), -1)

    def event(self, event: AnyEvent) -> bool:
        """Whether this event was forgotten."""
        thread = event.thread_id if isinstance(event, OutcomeReported | SpanReceived) else None
        return self.holds(event.trajectory, thread, event.at)


def erase_journal(home: Path, stone: Tombstone) -> None:
    """Blank what a tombstone names, in all segments that nobody writes; notes the others."""
    forgotten = Forgotten([stone])
    pending = []
    for path, is_open in _all_segments(home):
        if is_open:
            pending.append(f"{path.parent.name}/{path.name}")
        else:
            stone.frames += erase(path, forgotten)
    stone.pending = pending
    save(home, stone)


def erase_pending(home: Path) -> int:
    """Blank what had to wait, in segments that are closed by now; how many frames went."""
    count = 0
    waiting = [stone for stone in tombstones(home) if stone.pending]
    if not waiting:
        return 0
    state = {f"{path.parent.name}/{path.name}": (path, o) for path, o in _all_segments(home)}
    for stone in waiting:
        left = []
        for name in stone.pending:
            path, is_open = state.get(name, (None, False))
            if is_open:
                left.append(name)
            elif path is not None:
                erased = erase(path, Forgotten([stone]))
                stone.frames += erased
                count += erased
        stone.pending = left
        save(home, stone)
    return count


def erase(path: Path, forgotten: Forgotten) -> int:
    """Blank the events of a segment that were forgotten, and all contents that no other names."""
    data = path.read_bytes()
    ranges = forgotten_ranges(data, forgotten)
    if not ranges:
        return 0
    fd = os.open(path, os.O_WRONLY)
    try:
        for start, end in ranges:
            os.pwrite(fd, frames.erased(end - start), start)
        os.fsync(fd)
    finally:
        os.close(fd)
    return len(ranges)


def forgotten_ranges(data: bytes, forgotten: Forgotten) -> list[tuple[int, int]]:
    """Where the frames lie that have to go."""
    contents: dict[Ref, list[tuple[int, int]]] = {}
    held: dict[Ref, list[Ref]] = {}  # contents that a content holds in turn
    events: list[tuple[int, int]] = []
    kept: set[Ref] = set()
    for kind, start, end in frames.split(data):
        payload = data[start + frames.PREFIX.size : end]
        if kind in frames.CONTENTS:
            name, rest = payload[: frames.REF_BYTES], payload[frames.REF_BYTES :]
            contents.setdefault(name, []).append((start, end))
            if kind == frames.LINK:
                held[name] = list(refs_of_link(rest))
            elif kind == frames.SPLICED:
                held[name] = [inner_of(rest)]
        elif kind == frames.EVENT:
            try:
                event = decode(payload)
            except (msgspec.MsgspecError, ValueError):
                continue
            if forgotten.event(event):
                events.append((start, end))
            else:
                kept.update(refs_of(event))
    waiting = list(kept)
    while waiting:
        more = set(held.get(waiting.pop(), ())) - kept
        kept |= more
        waiting += more
    gone = [place for ref in contents.keys() - kept for place in contents[ref]]
    return sorted(events + gone) if events else []


def refs_of(event: AnyEvent) -> Iterator[Ref]:
    """Names of the contents that an event refers to."""
    for field in event.__struct_fields__:
        yield from _refs(getattr(event, field))


def _refs(value: object) -> Iterator[Ref]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _refs(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _refs(item)


def _all_segments(home: Path) -> Iterator[tuple[Path, bool]]:
    for folder in process_folders(home):
        alive = is_alive(folder)
        paths = segments(folder)
        for path in paths:
            yield path, alive and path == paths[-1] and not is_sealed(path)


def is_sealed(path: Path) -> bool:
    """Whether the last frame of a segment says that nobody writes it any more."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _SEAL_BYTES))
        tail = file.read()
    for offset in range(len(tail)):
        found = frames.frame_at(tail, offset)
        if found is not None and found[0] == frames.SEAL and found[2] == len(tail):
            return True
    return False
