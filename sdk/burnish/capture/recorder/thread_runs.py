"""Find the run that made a checkpoint, in a private list of the runs of each thread.

A resume belongs to the trajectory of the run that made its checkpoint. Burnish writes nothing into
the user's checkpoints, so the workspace lists the runs of each thread instead, with start and end.
The run whose time covers that of a checkpoint made it.

How it works: `note_start` and `note_end` append one record of fixed size to `HOME/threads.log` by
one `write` to a file in append mode, so processes and threads need no lock. `run_at` searches the
file for the thread. A record holds a digest of the thread's name, not the name; `erase` overwrites
the records of forgotten trajectories with zeros. A full file is renamed to `threads.log.1`, which
replaces the previous one. The newest records of this process are also kept in memory, and only
there if a test replaces the workspace's journal. Writing keeps the interpreter's lock and blocks no
event loop; an asynchronous caller reads files in another thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import re
import struct
import threading
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from burnish import settings
from burnish.capture import faults
from burnish.capture.recorder import sink
from burnish.files import platform
from burnish.files.storage import make_private_folder, open_private
from burnish.journal.gil_write import write_all, write_small

_NAME = "threads.log"
_RECORD = struct.Struct("<16s16sQ8s")  # thread, trajectory, time in ns, START or END
_START, _END = b"run:from", b"run:upto"  # distinguish a record from other bytes
_FULL = 32 * 1024 * 1024  # bytes of one file: about 350,000 runs
_ID = re.compile(r"[0-9a-f]{32}")
_FULL_MEMORY = 1024 * _RECORD.size
_memory = bytearray()  # the newest records of this process
_memory_home: Path | None = None  # the workspace of these records
# Guards each use of the file. Reentrant: the garbage collector may close an abandoned run while
# this thread writes; for that case a file is closed one change later than it is left.
_lock = threading.RLock()


class _File:
    """The open file of a home."""

    __slots__ = ("descriptor", "home", "room")

    def __init__(self, home: Path, descriptor: int, room: int) -> None:
        self.home, self.descriptor = home, descriptor
        self.room = room  # bytes until it is full


_file: _File | None = None
_left: _File | None = None


class ThreadRun(NamedTuple):
    """One run of a thread: its trajectory and its time; without an end it is running or was killed."""

    trajectory: str
    started_ns: int
    ended_ns: int | None


def note_start(thread: str, trajectory: str, at: int) -> None:
    """Record the start of a run of a thread."""
    _append_record(thread, trajectory, at, _START)


def note_end(thread: str, trajectory: str, at: int) -> None:
    """Record the end of a run of a thread."""
    _append_record(thread, trajectory, at, _END)


def run_at(thread: str, at_us: int) -> str | None:
    """Return the trajectory whose run of a thread covers a time, in microseconds; else None."""
    return _covering_run(runs_of_thread(thread), at_us)


def recent_run_at(thread: str, at_us: int) -> str | None:
    """Return the result of `run_at` for a run of this process that has ended; reads no file."""
    runs = _runs_of(_records_in(_memory, _digest_of_thread(thread), 0))
    return _covering_run([run for run in runs if run.ended_ns is not None], at_us)


def runs_of_thread(thread: str) -> list[ThreadRun]:
    """Return the runs of a thread, in the order of their start."""
    try:
        return _runs_of(_records_here(_digest_of_thread(thread)))
    except (OSError, ValueError) as problem:
        faults.count(f"list of threads not read: {type(problem).__name__}")
        return []


def _covering_run(runs: list[ThreadRun], at_us: int) -> str | None:
    """Return the trajectory of the run that covers a time; of several, the one that began last."""
    found = None
    for run in runs:
        ended = run.ended_ns
        if run.started_ns // 1000 <= at_us and (ended is None or at_us <= ended // 1000):
            found = run.trajectory
    return found


def _runs_of(records: Iterable[_Record]) -> list[ThreadRun]:
    runs: list[ThreadRun] = []
    for _, trajectory, at, kind in records:
        if kind == _START:
            runs.append(ThreadRun(trajectory, at, None))
        else:
            _end_runs(runs, trajectory, at)
    return sorted(runs, key=lambda run: run.started_ns)


def erase(home: Path, trajectories: Collection[str]) -> None:
    """Overwrite the records of trajectories with zeros.

    Raises:
        OSError: If a file cannot be written.
    """
    _memory.clear()
    for path in _existing_files(home):
        for trajectory in filter(_ID.fullmatch, trajectories):
            places = [place for place, *_ in _read_records(path, bytes.fromhex(trajectory), 16)]
            if not places:
                continue
            descriptor = os.open(path, os.O_WRONLY)
            try:
                for place in places:
                    os.lseek(descriptor, place, os.SEEK_SET)
                    os.write(descriptor, bytes(_RECORD.size))
            finally:
                os.close(descriptor)


def _end_runs(runs: list[ThreadRun], trajectory: str, at: int) -> None:
    for place in range(len(runs) - 1, -1, -1):
        run = runs[place]
        if run.trajectory == trajectory and run.ended_ns is None:
            runs[place] = run._replace(ended_ns=at)
            return


def _digest_of_thread(thread: str) -> bytes:
    return hashlib.blake2b(thread.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _existing_files(home: Path) -> list[Path]:
    """Return the existing files, the older one first."""
    found = (home / f"{_NAME}.1", home / _NAME)
    return [path for path in found if path.is_file()]


_Record = tuple[int, str, int, bytes]  # place, trajectory, time, kind


def _records_here(digest: bytes) -> Iterator[_Record]:
    """Yield the records of a thread, the older ones first."""
    if sink.is_replaced():
        yield from _records_in(_memory, digest, 0)
        return
    for path in _existing_files(settings.current().home):
        yield from _read_records(path, digest, 0)


def _read_records(path: Path, wanted: bytes, offset: int) -> Iterator[_Record]:
    """Yield the records of a file that hold these bytes at an offset."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return
        with contextlib.closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data:
            yield from _records_in(data, wanted, offset)


def _records_in(data: mmap.mmap | bytearray, wanted: bytes, offset: int) -> Iterator[_Record]:
    place = data.find(wanted)
    while place >= 0:
        start = place - offset
        if start >= 0 and start + _RECORD.size <= len(data):
            _, trajectory, at, kind = _RECORD.unpack_from(data, start)
            if kind in (_START, _END):
                yield start, trajectory.hex(), at, kind
        place = data.find(wanted, place + 1)


def _append_record(thread: str, trajectory: str, at: int, kind: bytes) -> None:
    if not _ID.fullmatch(trajectory):
        return
    record = _RECORD.pack(_digest_of_thread(thread), bytes.fromhex(trajectory), at, kind)
    _memory.extend(record)
    del _memory[: max(0, len(_memory) - _FULL_MEMORY)]
    if sink.is_replaced():
        return
    try:
        with _lock:
            descriptor = _open_descriptor()
            write_all(descriptor, record, write_small(descriptor, record, len(record)))
    except (OSError, ValueError) as problem:  # a full disk must not stop the agent
        faults.count(f"list of threads not written: {type(problem).__name__}")


def _open_descriptor() -> int:
    """Return the open file of the current home, with room for one more record."""
    file, home = _file, settings.current().home
    if file is None or file.home is not home or file.room <= 0:
        file = _open_file(home)
    file.room -= _RECORD.size
    return file.descriptor


def _open_file(home: Path) -> _File:
    global _file, _memory_home
    _leave_file()
    if home != _memory_home:
        _memory.clear()
        _memory_home = home
    path = make_private_folder(home) / _NAME
    if path.is_file() and path.stat().st_size >= _FULL:
        path.replace(path.with_name(f"{_NAME}.1"))
    descriptor = open_private(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    room = _FULL - os.fstat(descriptor).st_size
    _file = _File(home, descriptor, max(room, _RECORD.size))
    return _file


def _leave_file() -> None:
    """Stop using the file, and close the one that was left before."""
    global _file, _left
    if _file is None:
        return
    before, _left, _file = _left, _file, None
    if before is not None:
        with contextlib.suppress(OSError):
            os.close(before.descriptor)


def _on_other_settings() -> None:
    with _lock:
        _leave_file()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()


platform.after_fork_in_child(_after_fork_in_child)
settings.on_change(_on_other_settings)
