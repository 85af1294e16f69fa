"""Locate the events of each trajectory with a SQLite file that can be deleted at any time.

`Index` lists trajectories by agent, thread, time, source and status, and holds the offsets of
their frames. `refresh` adds what was appended to the journal. The segments are authoritative: a
damaged or missing index is rebuilt from them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from burnish.errors import JournalError
from burnish.files.storage import open_private
from burnish.journal import layout
from burnish.journal.index.index_sync import CatchingUp, Changed, check_of, plain_text
from burnish.journal.reader import (
    ReadReport,
    is_alive,
)

_SCHEMA_VERSION = 4
_IDS_TOGETHER = 500  # ids in one statement
_BROKEN = (sqlite3.DatabaseError, UnicodeError, msgspec.MsgspecError, TypeError, ValueError)
"""Errors that a damaged database raises."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS segments (
    id INTEGER PRIMARY KEY, path TEXT UNIQUE, position INTEGER, done INTEGER,
    report BLOB, state TEXT DEFAULT '');
CREATE TABLE IF NOT EXISTS runs (
    trajectory TEXT, span TEXT, folder TEXT, started_ns INTEGER, ended_ns INTEGER, status TEXT,
    resumed INTEGER, agent TEXT, thread_id TEXT, user TEXT, source TEXT,
    PRIMARY KEY (trajectory, span)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trajectories (
    id TEXT PRIMARY KEY, agent TEXT, thread_id TEXT, user TEXT, source TEXT, status TEXT,
    started_ns INTEGER, ended_ns INTEGER, folder TEXT, sum INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_start ON trajectories (started_ns);
CREATE INDEX IF NOT EXISTS by_thread ON trajectories (thread_id);
CREATE TABLE IF NOT EXISTS places (
    trajectory TEXT, segment INTEGER, offsets BLOB, sum INTEGER);
CREATE INDEX IF NOT EXISTS places_by_trajectory ON places (trajectory);
CREATE INDEX IF NOT EXISTS places_by_segment ON places (segment);
CREATE TABLE IF NOT EXISTS thread_facts (thread_id TEXT, segment INTEGER, offset INTEGER);
CREATE INDEX IF NOT EXISTS facts_by_thread ON thread_facts (thread_id);
"""


class IndexEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Indexed facts of a trajectory."""

    id: str
    agent: str
    thread_id: str | None
    user: str | None
    source: str
    status: str
    started_ns: int
    ended_ns: int | None


class FrameOffsets(msgspec.Struct, frozen=True):
    """Frames of one trajectory in one segment."""

    path: Path
    offsets: list[int]


class JournalChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Additions to the journal since some positions, independent of clocks."""

    entries: list[IndexEntry]  # trajectories with new events
    threads: set[str]  # threads that a new outcome names
    positions: dict[str, int]  # offset up to which each segment was read


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Filter of trajectories; None matches any."""

    agent: str | None = None
    since_ns: int | None = None
    source: str | None = None
    status: str | None = None
    thread_id: str | None = None
    user: str | None = None


class Index:
    """The index of one workspace; `refresh` adds what was appended to the journal."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._lock = threading.RLock()
        self._pid = 0
        self._paths: dict[str, Path] = {}
        self._base: sqlite3.Connection | None = None
        self._met = ReadReport()

    def refresh(self) -> None:
        """Update the index from the journal.

        Raises:
            WorkspaceTooNew: If a newer burnish wrote the workspace.
            JournalError: If a newer burnish wrote a segment.
        """
        layout.check_home(self.home)
        with self._lock:
            try:
                self._catch_up(self._open())
            except (Changed, *_BROKEN) as error:
                self._refuse_locked(error)
                self._throw_away()
                self._start_again(error.shrunk if isinstance(error, Changed) else ())

    def _catch_up(self, base: sqlite3.Connection, shrunk: Iterable[str] = ()) -> None:
        catching_up = CatchingUp(self.home, base, shrunk)
        catching_up.run()
        self._met = catching_up.met

    def _refuse_locked(self, error: Exception) -> None:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise JournalError(
                f"the index of {self.home} is locked by another process",
                "an unlocked index within a minute",
                "the same command again in a minute",
            ) from error

    def _start_again(self, shrunk: Iterable[str] = ()) -> None:
        """Rebuild the index; in memory if the disk is full."""
        try:
            self._catch_up(self._open(), shrunk)
        except (Changed, sqlite3.DatabaseError):
            self._throw_away()
            self._base, self._pid = self._connect(":memory:"), os.getpid()
            self._catch_up(self._base)

    def rebuild(self) -> None:
        """Delete the index and read the whole journal again."""
        with self._lock:
            self._throw_away()
            self.refresh()

    def find(self, query: Query) -> list[IndexEntry]:
        """Find the trajectories that match, oldest first."""
        wanted = {
            "agent": query.agent,
            "source": query.source,
            "thread_id": query.thread_id,
            "user": query.user,
        }
        clauses = [f"{name} = ?" for name, value in wanted.items() if value is not None]
        values: list[str | int] = [
            plain_text(value) for value in wanted.values() if value is not None
        ]
        if query.since_ns is not None:
            clauses.append("started_ns >= ?")
            values.append(query.since_ns)
        where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
        found = self._entries(f"{where} ORDER BY started_ns, id", values)
        return [entry for entry in found if query.status in (None, entry.status)]

    def changes_since(self, positions: Mapping[str, int]) -> JournalChanges:
        """Return what has come since the positions of an earlier answer; all without any."""
        known = self._rows("SELECT id, path, position FROM segments ORDER BY id", [])
        touched: set[str] = set()
        threads: set[str] = set()
        for number, path, position in known:
            begin = positions.get(path, 0)
            if begin == position:
                continue
            begin = begin if begin < position else 0  # an erasure rewrote the segment
            rows = self._rows("SELECT trajectory, offsets FROM places WHERE segment = ?", [number])
            touched.update(key for key, blob in rows if max(msgspec.msgpack.decode(blob)) >= begin)
            facts = "SELECT thread_id FROM thread_facts WHERE segment = ? AND offset >= ?"
            threads.update(thread for (thread,) in self._rows(facts, [number, begin]))
        return JournalChanges(
            entries=self._entries_of(sorted(touched)),
            threads=threads,
            positions={path: position for _, path, position in known},
        )

    def read_positions(self) -> dict[str, int]:
        """Return where each segment has been read to."""
        return dict(self._rows("SELECT path, position FROM segments", []))

    def _entries_of(self, keys: Sequence[str]) -> list[IndexEntry]:
        found: list[IndexEntry] = []
        for start in range(0, len(keys), _IDS_TOGETHER):
            some = list(keys[start : start + _IDS_TOGETHER])
            found += self._entries(f"WHERE id IN ({', '.join('?' * len(some))})", some)
        return found

    def list_agents(self) -> list[str]:
        """Return the names of the agents with trajectories."""
        rows = self._rows("SELECT DISTINCT agent FROM trajectories ORDER BY agent", [])
        return [name for (name,) in rows if name]

    def starting_with(self, prefix: str) -> list[IndexEntry]:
        """Find the trajectories whose id begins with `prefix`; a whole id matches at most one."""
        prefix = plain_text(prefix)
        exact = self._entries("WHERE id = ?", [prefix])
        if exact:
            return exact
        return self._entries("WHERE id >= ? AND id < ? ORDER BY id", [prefix, prefix + "\x7f"])

    def places(self, trajectory: str) -> list[FrameOffsets]:
        """Return the offsets of the frames of a trajectory."""
        return self.places_of([trajectory])[trajectory]

    def places_of(self, trajectories: Sequence[str]) -> dict[str, list[FrameOffsets]]:
        """Return the offsets of the frames of several trajectories; at most a few hundred at once."""
        marks = ", ".join("?" * len(trajectories))
        rows = self._rows(
            "SELECT trajectory, path, offsets, sum FROM places "  # noqa: S608
            "JOIN segments ON segments.id = segment "
            f"WHERE trajectory IN ({marks}) ORDER BY path, places.rowid",
            list(trajectories),
            checked=True,
        )
        found: dict[str, list[FrameOffsets]] = {key: [] for key in trajectories}
        for key, path, offsets in rows:
            found[key].append(FrameOffsets(self._path(path), msgspec.msgpack.decode(offsets)))
        return found

    def told_threads(self) -> set[str]:
        """Return the threads that an outcome names."""
        return {name for (name,) in self._rows("SELECT DISTINCT thread_id FROM thread_facts", [])}

    def thread_facts(self, thread_id: str) -> list[FrameOffsets]:
        """Return the offsets of outcomes that name this thread and no trajectory."""
        rows = self._rows(
            "SELECT path, offset FROM thread_facts JOIN segments ON segments.id = segment "
            "WHERE thread_id = ? ORDER BY thread_facts.rowid",
            [plain_text(thread_id)],
        )
        return [FrameOffsets(self._path(path), [offset]) for path, offset in rows]

    def report(self) -> ReadReport:
        """Return the counts of reading the journal, over all segments."""
        total = ReadReport()
        total.add(self._met)
        for (blob,) in self._rows("SELECT report FROM segments", []):
            total.add(msgspec.msgpack.decode(blob, type=ReadReport))
        return total

    def _path(self, relative: str) -> Path:
        path = self._paths.get(relative)
        if path is None:
            path = self._paths[relative] = layout.journal_folder(self.home) / relative
        return path

    def _entries(self, rest: str, values: Sequence[str | int]) -> list[IndexEntry]:
        columns = "id, agent, thread_id, user, source, status, started_ns, ended_ns, folder"
        statement = f"SELECT {columns}, sum FROM trajectories {rest}"  # noqa: S608 - constants
        rows = self._rows(statement, values, checked=True)
        alive: dict[str, bool] = {}
        found = []
        for *fields, folder in rows:
            if fields[5] == "running":
                if folder not in alive:
                    alive[folder] = is_alive(self._path(folder))
                fields[5] = "running" if alive[folder] else "abandoned"
            found.append(IndexEntry(**dict(zip(IndexEntry.__struct_fields__, fields, strict=True))))
        return found

    def _rows(
        self, statement: str, values: Sequence[str | int], *, checked: bool = False
    ) -> list[tuple[Any, ...]]:
        """Select rows of the index; rebuild the index first if a row is damaged.

        Args:
            statement: The SELECT statement.
            values: Its parameters.
            checked: Whether the last column is the check sum of the columns before it.
        """
        with self._lock:
            try:
                return self._select(statement, values, checked=checked)
            except _BROKEN as error:
                self._refuse_locked(error)
                self._throw_away()
                self._start_again()
                return self._select(statement, values, checked=checked)

    def _select(
        self, statement: str, values: Sequence[str | int], *, checked: bool
    ) -> list[tuple[Any, ...]]:
        rows = self._open().execute(statement, values).fetchall()
        if not checked:
            return rows
        found = []
        for *row, total in rows:
            if check_of(row) != total:
                raise sqlite3.DatabaseError("a row of the index is damaged")
            found.append(tuple(row))
        return found

    def _open(self) -> sqlite3.Connection:
        if self._base is not None and self._pid == os.getpid():
            return self._base
        path = self.home / "index.sqlite"
        try:
            base = self._connect(str(path) if path.is_file() or not path.exists() else ":memory:")
        # a read-only folder, or a missing one: keep the index in memory
        except sqlite3.OperationalError:
            base = self._connect(":memory:")
        except sqlite3.DatabaseError:
            self._throw_away()
            base = self._connect(str(path))
        self._base, self._pid = base, os.getpid()
        return base

    def _connect(self, name: str) -> sqlite3.Connection:
        if name != ":memory:":
            with contextlib.suppress(OSError):  # SQLite itself would create it readable by others
                os.close(open_private(Path(name), os.O_CREAT | os.O_RDWR))
        base = sqlite3.connect(name, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            version = base.execute("PRAGMA user_version").fetchone()[0]
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("PRAGMA synchronous = OFF")  # it can be rebuilt
            base.execute("PRAGMA cell_size_check = ON")
            if base.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("the index is damaged")
            if version not in (0, _SCHEMA_VERSION):
                raise sqlite3.DatabaseError(f"index of version {version}")
            base.executescript(_SCHEMA)
            base.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        except sqlite3.Error:
            base.close()
            raise
        return base

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            base, self._base = self._base, None
            if base is not None and self._pid == os.getpid():
                base.close()

    def _throw_away(self) -> None:
        self.close()
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                (self.home / f"index.sqlite{ending}").unlink()
