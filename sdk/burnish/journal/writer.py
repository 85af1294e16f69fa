"""Append events to the journal of this process; an acknowledged event is never lost.

An event is acknowledged once the kernel has its bytes: it survives the death of the process.
A background thread forces the bytes to the disk (`fsync`): then the event survives a power failure.

How it works: `JournalWriter` owns one folder per process and one open `Segment`. One lock guards
the open segment; a second lock serialises syncs, so one thread syncs for all that wait. The
background thread syncs, applies retention, and erases forgotten content. A forked child abandons
the parent's files and opens a folder of its own. When the disk is full, `append` raises
`JournalFull` and leaves no partial frame.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from burnish import settings as burnish_settings
from burnish._version import __version__
from burnish.files import platform
from burnish.journal import frames, layout
from burnish.journal.content_sharing import CHUNK, fold
from burnish.journal.events import AnyEvent, ModelStarted, Ref, encode_all
from burnish.journal.faults import name_fault
from burnish.journal.lifecycle.retention import keep
from burnish.journal.segment import Segment
from burnish.settings import Settings

_LOG = logging.getLogger("burnish.journal")
_Append = tuple[Sequence[bytes], Mapping[Ref, bytes] | tuple[()], int]
"""Encoded events, their contents, and the time of the last of them."""
_QUOTA_PAUSE_S = 0.5  # seconds between checks for free space


class JournalWriter:
    """The journal of one process under `home`; safe for any number of threads and across fork.

    The first event creates the folder.
    """

    def __init__(self, home: Path, settings: Settings | None = None) -> None:
        self.home = Path(home).absolute()
        self._reset()
        self.settings = settings or burnish_settings.current()
        _writers.add(self)

    def _reset(self) -> None:
        # Reentrant: the garbage collector may end an abandoned run, and so append, while this
        # thread holds the locks. Such an append waits in `_deferred` for the one that it
        # interrupts.
        self._lock = threading.RLock()
        self._sync_lock = threading.RLock()
        self._writing = False
        self._deferred: deque[_Append] = deque()
        self._segment: Segment | None = None
        self._folder: Path | None = None
        self._folder_lock: int | None = None
        self._next = 0
        self._started = 0
        self._sealed = 0  # bytes of the closed segments of this process
        self._synced = 0
        self._retired: list[int] = []  # closed files that still need their last fsync
        self._dirty = False
        self._rotated = False
        self._over_quota = False
        self._faults: set[type] = set()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._syncer: threading.Thread | None = None

    @property
    def settings(self) -> Settings:
        """Return the current settings; they may be changed at any time."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        """Apply other settings from the next append on."""
        self._settings = settings
        self._dirty = False  # the next append computes the time of the next sync again
        self._set_limit()

    def _set_limit(self) -> None:
        """Set the size up to which the open segment accepts one more append."""
        self._limit = 0 if self._over_quota else self._settings.segment_bytes

    @property
    def folder(self) -> Path | None:
        """Return the folder of this process's segments, None before the first event."""
        return self._folder

    def append(self, event: AnyEvent, blobs: Mapping[Ref, bytes] | tuple[()] = ()) -> None:
        """Write one event and those of its blobs that the segment does not hold yet.

        Returns once the kernel has the bytes (and the disk, under `fsync="always"`).

        Raises:
            JournalFull: If the disk is full; no part of the event is left behind.
            WorkspaceTooNew: If a newer burnish wrote the workspace.
            JournalUnwritable: If the folder cannot be written.
        """
        self.append_all((event,), blobs)

    def append_all(
        self, events: Sequence[AnyEvent], blobs: Mapping[Ref, bytes] | tuple[()] = ()
    ) -> None:
        """Write several events as `append` does, in one write: all of them or none."""
        if len(blobs) > CHUNK:
            events, blobs = _fold_messages(events, blobs)
        payloads, at = encode_all(events), events[-1].at
        with self._lock:
            if self._writing:
                self._deferred.append((payloads, blobs, at))
                return
            self._writing = True
            try:
                segment = self._segment  # as `_segment_for`, without a call for each append
                if segment is None or segment.size >= self._limit or at > segment.expires_ns:
                    segment = self._next_segment()
                segment.append(payloads, blobs)
                if self._deferred:
                    self._write_deferred()
            except OSError as error:
                self._leave_torn()
                raise name_fault(error, self.home) from error
            finally:
                self._writing = False
        if not self._dirty:
            self._see_to_sync()

    def _write_deferred(self) -> None:
        """Write the appends that interrupted another one; the caller holds the lock."""
        while self._deferred:
            payloads, blobs, at = self._deferred.popleft()
            self._segment_for(at).append(payloads, blobs)

    def _segment_for(self, at: int) -> Segment:
        """Return the open segment, or a new one if it is full or too old."""
        segment = self._segment
        if segment is None or segment.size >= self._limit or at > segment.expires_ns:
            return self._next_segment()
        return segment

    @contextlib.contextmanager
    def _exclusive(self) -> Generator[None]:
        """Hold the lock for a change of segments; events appended meanwhile are written after it."""
        with self._lock:
            before, self._writing = self._writing, True
            try:
                yield
            finally:
                self._writing = before
            if self._deferred and not before:
                try:
                    self._write_deferred()
                except OSError as error:
                    self._leave_torn()
                    raise name_fault(error, self.home) from error

    def _see_to_sync(self) -> None:
        """Sync the written bytes now, soon, or when the system chooses, as `fsync` says."""
        mode = self.settings.fsync
        if mode == "always":
            with self._lock:
                position = self._position()
            self._sync(position)
        elif mode == "interval":
            self._dirty = True
            self._wake.set()

    def flush(self, timeout_s: float | None = None) -> None:
        """Force all appended events to the disk; `timeout_s` bounds the wait for other threads."""
        if self._sync_lock.acquire(timeout=-1 if timeout_s is None else timeout_s):
            try:
                self._force()
            finally:
                self._sync_lock.release()

    def close(self) -> None:
        """Seal the open segment and force it to the disk; a later append opens a new folder."""
        with self._exclusive():
            self._retire()
            self._let_go()
            syncer, self._syncer = self._syncer, None
            self._stop.set()
            self._wake.set()
            self._stop, self._wake = threading.Event(), threading.Event()
        self.flush()
        if syncer is not None and syncer is not threading.current_thread():
            syncer.join(timeout=5)

    def rotate(self) -> None:
        """Seal the open segment; the next event opens another."""
        with self._exclusive():
            self._retire()

    def _let_go(self) -> None:
        """Close the folder: it now counts as the folder of a process that has ended."""
        self._folder, self._next = None, 0
        if self._folder_lock is not None:
            os.close(self._folder_lock)
            self._folder_lock = None

    def _next_segment(self) -> Segment:
        if self._over_quota:
            self._wake.set()  # check again whether spans were shipped
            raise OSError(errno.EDQUOT, "keep_bytes is used up by spans that wait to be shipped")
        segment = self._segment
        return self._rotate() if segment is None or not segment.empty else segment

    def _leave_torn(self) -> None:
        """Abandon a segment if a partial frame in it could not be cut off."""
        segment = self._segment
        if segment is not None and os.fstat(segment.fd).st_size != segment.size:
            self._let_go_of(segment)
            self._segment = None

    def _rotate(self) -> Segment:
        """Seal the open segment and open the next one."""
        self._retire()
        folder = self._folder or self._open_folder()
        number, self._next = self._next, self._next + 1
        header = frames.SegmentHeader(
            format=frames.FORMAT,
            pid=os.getpid(),
            host=folder.name.rsplit("-", 2)[0],
            started=self._started,
            segment=number,
            burnish=__version__,
            salt=frames.make_salt(),
        )
        segment = Segment(folder / layout.segment_name(number), header)
        self._segment = segment
        self._rotated = True
        if self._syncer is None:
            self._start_syncer()
        self._wake.set()
        return segment

    def _retire(self) -> None:
        segment, self._segment = self._segment, None
        if segment is None:
            return
        with contextlib.suppress(OSError):  # an unsealed segment can be read too
            segment.seal()
        self._let_go_of(segment)

    def _let_go_of(self, segment: Segment) -> None:
        self._retired.append(segment.fd)
        self._sealed += segment.size

    def _position(self) -> int:
        """Return the number of bytes written so far; the caller holds the lock."""
        return self._sealed + (0 if self._segment is None else self._segment.size)

    def _open_folder(self) -> Path:
        layout.ensure_home(self.home)
        self._started = time.time_ns()
        self._folder, self._folder_lock = layout.make_process_folder(self.home, self._started)
        return self._folder

    def _start_syncer(self) -> None:
        self._syncer = threading.Thread(
            target=self._sync_in_background,
            args=(self._wake, self._stop),
            name="burnish-fsync",
            daemon=True,
        )
        self._syncer.start()

    def _sync_in_background(self, wake: threading.Event, stop: threading.Event) -> None:
        while not stop.is_set():
            wake.wait()
            wake.clear()
            stop.wait(self.settings.fsync_interval_s)
            try:
                self._keep_house(stop)
            except Exception as fault:  # noqa: BLE001 - the thread must survive any fault
                if type(fault) not in self._faults:
                    self._faults.add(type(fault))
                    _LOG.warning("journal of %s: %r", self.home, fault)

    def _keep_house(self, stop: threading.Event) -> None:
        """Sync, remove old segments, and erase forgotten content until `stop` is set."""
        self._dirty = False
        if self.settings.fsync == "interval":
            with self._sync_lock:
                self._force()
        if self._rotated or self._over_quota:
            self._rotated = False
            self._over_quota = keep(self.home, self.settings).over_quota
            self._set_limit()
            stop.wait(_QUOTA_PAUSE_S if self._over_quota else 0)

    def _sync(self, position: int) -> None:
        """Wait until the disk has all bytes before `position`; one thread syncs for many."""
        with self._sync_lock:
            if self._synced < position:
                self._force()

    def _force(self) -> None:
        """Sync the open segment and the closed ones; the caller holds the sync lock."""
        with self._lock:
            retired, self._retired = self._retired, []
            segment, position = self._segment, self._position()
        for fd in retired:
            with contextlib.suppress(OSError):
                platform.force_data(fd)
            os.close(fd)
        if segment is not None and self._synced < position:
            platform.force_data(segment.fd)
        self._synced = position

    def after_fork(self) -> None:
        """Abandon the parent's files in a forked child and open a new journal."""
        kept = [self._folder_lock, *self._retired]
        if self._segment is not None:
            kept.append(self._segment.fd)
        for fd in kept:
            if fd is not None:
                with contextlib.suppress(OSError):
                    os.close(fd)
        self._reset()
        self._set_limit()


def _fold_messages(
    events: Sequence[AnyEvent], blobs: Mapping[Ref, bytes] | tuple[()]
) -> tuple[Sequence[AnyEvent], Mapping[Ref, bytes] | tuple[()]]:
    """Move the long list of messages of the last event into contents."""
    last = events[-1]
    if not isinstance(last, ModelStarted) or len(last.messages) <= CHUNK:
        return events, blobs
    folded, links = fold(last)
    return [*events[:-1], folded], {**dict(blobs), **links}


_writers: weakref.WeakSet[JournalWriter] = weakref.WeakSet()
_shared: dict[Path, JournalWriter] = {}
_shared_lock = threading.RLock()


def shared() -> JournalWriter:
    """Return the journal writer of this process for the current home folder."""
    return writer_for(burnish_settings.current().home)


def writer_for(home: Path) -> JournalWriter:
    """Return the journal writer of this process for a home folder; all callers share it."""
    home = home.absolute()
    with _shared_lock:
        writer = _shared.get(home)
        if writer is None:
            writer = _shared.setdefault(home, JournalWriter(home))
        writer.settings = burnish_settings.current()
    return writer


def close_shared() -> None:
    """Seal all journals of this process; runs at exit."""
    with _shared_lock:
        writers = list(_shared.values())
    for writer in writers:
        with contextlib.suppress(OSError):
            writer.close()


def _after_fork_in_child() -> None:
    global _shared_lock
    _shared_lock = threading.RLock()
    for writer in list(_writers):
        writer.after_fork()


atexit.register(close_shared)
platform.after_fork_in_child(_after_fork_in_child)
