"""Erase recorded content in place, and remember the request in a tombstone.

`erase_journal` and `erase_archive` overwrite each frame by an empty frame of the same length: no
offset changes, so cursors, indexes and readers stay valid. A tombstone is written before anything
is erased. It lists all pending work and the byte ranges of a segment before they are overwritten,
so the next holder of the journal's lock finishes an erasure that was killed. A segment that a
running process still writes is pending: readers hide the content at once, and it is erased after
the segment is closed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from burnish.errors import JournalError
from burnish.files.storage import FileLock, make_private_folder, remove_drafts
from burnish.journal import frames, layout
from burnish.journal.content_sharing import inner_of, is_spliced, refs_of_link
from burnish.journal.events import UNREADABLE, AnyEvent, Ref, decode
from burnish.journal.lifecycle import archived_segments as archives
from burnish.journal.lifecycle.segment_tables import encode_table, local_path, seal_of, write_file
from burnish.journal.lifecycle.tombstones import Forgotten, Tombstone, digest_of, save, tombstones
from burnish.journal.reader import is_alive, process_folders, segments

__all__ = ["Forgotten", "Tombstone", "digest_of", "save", "tombstones"]

_SEAL_BYTES = 64  # longer than any seal


def plan(home: Path, stone: Tombstone) -> None:
    """Save a new tombstone with everything pending: each segment, each archived one, all drafts.

    Raises:
        OSError: If the disk does not accept it.
    """
    stone.pending = [_name_of(path) for path, _ in _all_segments(home)]
    stone.archived = sorted(archives.read_list(home))
    stone.drafts = True
    save(home, stone)


def settle(home: Path, *, remote: bool = True) -> int:
    """Erase what tombstones list as pending; the caller holds the journal's lock.

    Args:
        home: Folder of the workspace.
        remote: Also erase in tables that are not on this machine's disk.

    Returns:
        The number of erased frames.

    Raises:
        OSError: If the disk does not accept a write.
    """
    archives.finish_plans(home, remote=remote)
    count = 0
    for stone in tombstones(home):
        if stone.waits:
            before = stone.frames
            erase_journal(home, stone)
            erase_archive(home, stone, remote=remote)
            count += stone.frames - before
    if count:
        discard_index(home)
    return count


def discard_index(home: Path) -> None:
    """Delete the index: a database keeps the bytes of deleted rows."""
    for ending in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            (home / f"index.sqlite{ending}").unlink()


def erase_journal(home: Path, stone: Tombstone) -> None:
    """Erase the content of a tombstone in its pending segments that are closed.

    Raises:
        OSError: If the disk does not accept a write.
    """
    state = {_name_of(path): (path, is_open) for path, is_open in _all_segments(home)}
    if stone.drafts:
        _remove_leftovers(home)
    stone.drafts = False
    waiting = list(stone.pending)
    left: list[str] = []
    while waiting:
        name = waiting.pop(0)
        path, is_open = state.get(name, (None, False))
        if is_open or (
            path is None
            and stone.running
            and is_alive(layout.journal_folder(home) / name.split("/")[0])
        ):
            left.append(name)
        elif path is None:  # retention removed it, or it was archived meanwhile
            stone.ranges.pop(name, None)
            stone.damage.pop(name, None)
            if name in archives.read_list(home) and name not in stone.archived:
                stone.archived.append(name)
        elif _erase_segment(home, stone, name, path):
            following = _name_of(path.with_name(layout.segment_name(int(path.stem) + 1)))
            known = following in state or stone.running
            if known and following not in {*waiting, *left, *stone.pending}:
                waiting.append(following)  # the run wrote more to it meanwhile, or may
    stone.pending = left
    save(home, stone)


def _erase_segment(home: Path, stone: Tombstone, name: str, path: Path) -> int:
    """Erase the content of a tombstone in one segment, after saving the ranges; count the frames."""
    if name not in stone.ranges:
        found = forgotten_ranges(path.read_bytes(), Forgotten([stone]))
        if not any(found):
            return 0
        stone.ranges[name], stone.damage[name] = found
        save(home, stone)
    ranges = Ranges(stone.ranges[name], stone.damage.get(name, []))
    _overwrite_ranges(path, ranges)
    stone.frames += len(ranges.frames)
    stone.pending = [other for other in stone.pending if other != name]
    del stone.ranges[name]
    stone.damage.pop(name, None)
    save(home, stone)
    return len(ranges.frames) + len(ranges.damage)


def _remove_leftovers(home: Path) -> None:
    """Remove incomplete files of killed processes: dataset versions, drafts, stale copies."""
    for unfinished in (home / "datasets").glob(".*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    for folder in process_folders(home):
        remove_drafts(folder)
    archives.remove_stale_copies(home)


def erase_archive(home: Path, stone: Tombstone, *, remote: bool = True) -> None:
    """Erase the content of a tombstone in its pending archived segments.

    A table that cannot be reached or written stays in the tombstone.

    Raises:
        OSError: If the disk of the workspace does not accept a write.
    """
    if not stone.archived:
        return
    left = []
    for name in stone.archived:
        try:
            entry = archives.load_list(home).segments.get(name)
            if entry is None:
                continue
            if not remote and local_path(entry.url) is None:
                left.append(name)
                continue
            stone.frames += _erase_table(home, name, entry, Forgotten([stone]))
        except JournalError:
            left.append(name)
    stone.archived = left
    save(home, stone)


def _erase_table(home: Path, name: str, entry: archives.Archived, forgotten: Forgotten) -> int:
    """Rewrite an archived segment without forgotten content; return the number of erased frames."""
    data, seal = archives.read_table(entry)
    erased, count = blank(data, forgotten)
    archives.drop_copy(home, name)
    if not count:
        return 0
    content = encode_table(erased)
    coming = seal_of(content, erased)
    listed = archives.load_list(home)
    for entry_now in (
        msgspec.structs.replace(entry, seal=seal, coming=coming),
        msgspec.structs.replace(entry, seal=coming, coming=None),
    ):
        listed.segments[name] = entry_now
        archives.write_list(home, listed)
        if entry_now.coming is not None:
            write_file(entry.url, content)
    return count


class Rewriting(msgspec.Struct):
    """The right to rewrite the journal.

    Attributes:
        held: Whether this process has it.
        settled: Number of pending frames that were erased.
    """

    held: bool = False
    settled: int = 0


@contextlib.contextmanager
def rewriting(home: Path, *, wait_s: float = 0.0, remote: bool = True) -> Generator[Rewriting]:
    """Hold the lock for everything that rewrites the journal: archive, erase, retention.

    When it takes and when it releases the lock, the holder finishes pending erasures.

    Args:
        home: Folder of the workspace.
        wait_s: How long to wait for another process that holds it.
        remote: Also finish work in files that are not on this machine's disk.
    """
    state = Rewriting()
    lock = FileLock(layout.journal_folder(home) / "keeper.lock")
    with contextlib.suppress(OSError):
        make_private_folder(lock.path.parent)
        state.held = lock.acquire(wait_s)
    try:
        if state.held:
            state.settled += _settle_quietly(home, remote=remote)
        yield state
        if state.held:
            state.settled += _settle_quietly(home, remote=remote)
    finally:
        lock.release()


def _settle_quietly(home: Path, *, remote: bool) -> int:
    """Run `settle`; failed work stays in its tombstone for the next holder of the lock."""
    try:
        return settle(home, remote=remote)
    except (OSError, JournalError):
        return 0


def erase_pending(home: Path) -> int:
    """Erase pending content in segments that are now closed; return the number of erased frames.

    If another process holds the journal's lock, that process erases it.
    """
    with rewriting(home, remote=False) as state:
        pass
    return state.settled


def erase(path: Path, forgotten: Forgotten) -> int:
    """Blank the forgotten events of a segment, and all contents that no other event names."""
    ranges = forgotten_ranges(path.read_bytes(), forgotten)
    if any(ranges):
        _overwrite_ranges(path, ranges)
    return len(ranges.frames)


def blank(data: bytes, forgotten: Forgotten) -> tuple[bytes, int]:
    """Return a segment's bytes without forgotten content, and the number of erased frames."""
    ranges = forgotten_ranges(data, forgotten)
    seeds = frames.find_seeds(data)
    erased = bytearray(data)
    for start, end in ranges.frames:
        erased[start:end] = frames.erased(end - start, seeds)
    for start, end in ranges.damage:
        erased[start:end] = frames.scrubbed(data[start : start + 4], end - start)
    return bytes(erased), len(ranges.frames)


class Ranges(NamedTuple):
    """Ranges of a segment to erase: whole frames, and damaged bytes, which still count as damage."""

    frames: list[tuple[int, int]]
    damage: list[tuple[int, int]]


def _overwrite_ranges(path: Path, ranges: Ranges) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        seeds = frames.find_seeds(os.pread(fd, 4096, 0))
        for start, end in ranges.frames:
            os.pwrite(fd, frames.erased(end - start, seeds), start)
        for start, end in ranges.damage:
            os.pwrite(fd, frames.scrubbed(os.pread(fd, 4, start), end - start), start)
        os.fsync(fd)
    finally:
        os.close(fd)


def forgotten_ranges(data: bytes, forgotten: Forgotten) -> Ranges:
    """Find the frames to erase; in a segment with any, also its torn tail and its damaged ranges.

    The owner of damaged bytes is unknown, and they may hold the texts of a damaged frame.
    """
    if forgotten.is_empty:
        return Ranges([], [])
    contents = _Contents()
    events: list[tuple[int, int]] = []
    damage: list[tuple[int, int]] = []
    whole, named = 0, False
    for kind, start, end in frames.split(data):
        whole = end
        payload = data[start + frames.PREFIX.size : end]
        if kind in frames.CONTENTS:
            contents.add(kind, payload, (start, end))
        elif kind == frames.DAMAGE:
            damage.append((start, end))
            named = named or forgotten.unreadable(data[start:end])
        elif kind == frames.EVENT:
            event = _decode_payload(payload)
            if forgotten.unreadable(payload) if event is None else forgotten.event(event):
                events.append((start, end))
            elif event is not None:
                contents.keep(refs_of(event))
    if not events and not named and not forgotten.unreadable(data[whole:]):
        return Ranges([], [])
    tail = [(whole, len(data))] if len(data) - whole >= frames.PREFIX.size else []
    return Ranges(sorted(events + contents.unneeded() + tail), damage)


def _decode_payload(payload: bytes) -> AnyEvent | None:
    try:
        return decode(payload)
    except UNREADABLE:
        return None


class _Contents:
    """The contents of a segment, and those that the remaining events need."""

    def __init__(self) -> None:
        self._places: dict[Ref, list[tuple[int, int]]] = {}
        self._held: dict[Ref, list[Ref]] = {}  # names of contents inside a content
        self._kept: set[Ref] = set()

    def add(self, kind: int, payload: bytes, place: tuple[int, int]) -> None:
        """Add the frame of a content."""
        name, rest = payload[: frames.REF_BYTES], payload[frames.REF_BYTES :]
        self._places.setdefault(name, []).append(place)
        if kind == frames.LINK:
            self._held[name] = list(refs_of_link(rest))
        elif kind == frames.SPLICED and is_spliced(rest):
            self._held[name] = [inner_of(rest)]

    def keep(self, refs: Iterable[Ref]) -> None:
        """Mark the contents that a remaining event needs."""
        self._kept.update(refs)

    def unneeded(self) -> list[tuple[int, int]]:
        """Return the frames of the contents that no remaining event needs."""
        kept, waiting = set(self._kept), list(self._kept)
        while waiting:
            more = set(self._held.get(waiting.pop(), ())) - kept
            kept |= more
            waiting += more
        return [place for ref in self._places.keys() - kept for place in self._places[ref]]


def refs_of(event: AnyEvent) -> Iterator[Ref]:
    """Yield the names of the contents that an event refers to."""
    for field in event.__struct_fields__:
        yield from _find_references(getattr(event, field))


def _find_references(value: object) -> Iterator[Ref]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _find_references(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _find_references(item)


def _name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _all_segments(home: Path) -> Iterator[tuple[Path, bool]]:
    for folder in process_folders(home):
        alive = is_alive(folder)
        paths = [path for path in segments(folder) if path.is_file()]
        for path in paths:
            yield path, alive and path == paths[-1] and not is_sealed(path)


def is_sealed(path: Path) -> bool:
    """Return whether the last frame of a segment marks it as closed."""
    with path.open("rb") as file:
        seeds = frames.find_seeds(file.read(4096))
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _SEAL_BYTES))
        tail = file.read()
    for offset in range(len(tail)):
        found = frames.frame_at(tail, offset, seeds)
        if found is not None and found[0] == frames.SEAL and found[2] == len(tail):
            return True
    return False
