"""Add new events of the journal to an index, in one transaction.

Unreadable events are counted and left out; the rest is indexed. If a segment changes after it was
read to its end, by damage or by an erasure, the whole index is rebuilt.

How it works: `CatchingUp` compares each segment's size and state with the index, reads only what
was appended, and rewrites the summary rows of the trajectories that changed.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from burnish.errors import JournalError
from burnish.journal.events import Brief
from burnish.journal.lifecycle.archived_segments import fetch, read_list
from burnish.journal.lifecycle.tombstones import Forgotten, tombstones
from burnish.journal.reader import (
    ReadReport,
    count_stray,
    is_alive,
    open_segment,
    process_folders,
    segments,
)

_RUN_STARTED, _RUN_ENDED, _RECEIVED = "R", "r", "X"
_CALLS = ("model", "tool")  # kinds of received spans that make a trajectory, with or without a run
_FROM_ELSEWHERE = "x"  # prefix of the id of a received run; alone: calls whose run was not received
_BY_TRAJECTORY = (("runs", "trajectory"), ("places", "trajectory"))
_OUTCOMES = "OX"  # may name a thread and no trajectory


GAP = -1
"""Marks, among the offsets of a trajectory, events that a damaged range may have held."""


class _Known(msgspec.Struct):
    """The indexed position in a segment; `state` is its `stat` result at that time."""

    number: int
    position: int
    done: int
    state: str


class Changed(Exception):
    """A segment changed after the index had read it to its end.

    Attributes:
        shrunk: Its name, if it lost indexed bytes; an erasure never does that.
    """

    def __init__(self, name: str, *, shrunk: bool = False) -> None:
        super().__init__(name)
        self.shrunk = {name} if shrunk else set[str]()


class CatchingUp:
    """One update of the index in `base` from the journal under `home`.

    Attributes:
        met: Segments that could not be read this time; the next update tries them again.
    """

    def __init__(self, home: Path, base: sqlite3.Connection, shrunk: Iterable[str] = ()) -> None:
        self.home, self.base = home, base
        self._shrunk = set(shrunk)
        self.touched: set[str] = set()
        self.forgotten = Forgotten(tombstones(home))
        self.met = ReadReport(stray=count_stray(home))

    def run(self) -> None:
        """Update the index from the journal, in one transaction.

        Raises:
            Changed: If the index has to be rebuilt.
            WorkspaceTooNew: If a newer burnish wrote the workspace.
            JournalError: If a newer burnish wrote a segment.
        """
        self.base.execute("BEGIN IMMEDIATE")
        try:
            known = {
                path: _Known(*rest)
                for path, *rest in self.base.execute(
                    "SELECT path, id, position, done, state FROM segments"
                )
            }
            seen = set()
            for path, alive in _all_segments(self.home):
                name = f"{path.parent.name}/{path.name}"
                seen.add(name)
                self._catch_up(path, name, alive=alive, known=known.get(name))
            for name in sorted(read_list(self.home).keys() - seen):
                seen.add(name)
                self._catch_up_archived(name, known.get(name))
            self._forget_segments([known[name].number for name in known.keys() - seen])
            for key in self.forgotten.trajectories:
                for table, column in (("trajectories", "id"), *_BY_TRAJECTORY):
                    self.base.execute(f"DELETE FROM {table} WHERE {column} = ?", [plain_text(key)])  # noqa: S608
            self._summarise()
        except BaseException:
            self.base.execute("ROLLBACK")
            raise
        self.base.execute("COMMIT")

    def _catch_up_archived(self, name: str, known: _Known | None) -> None:
        if known is not None and known.done:
            return
        try:
            path = fetch(self.home, name)
        except JournalError:
            self.met.unreadable += 1
            return
        if path is not None:
            self._catch_up(path, name, alive=False, known=known)

    def _catch_up(self, path: Path, name: str, *, alive: bool, known: _Known | None) -> None:
        if known is not None and self._is_read(path, known, alive=alive):
            return
        report = ReadReport()
        reader = open_segment(path, report, known.position if known else 0)
        if reader is None:
            self.met.unreadable += 1
            return
        if known is None:
            number = self.base.execute(
                "INSERT INTO segments (path, position, done, report) VALUES (?, 0, 0, x'')", [name]
            ).lastrowid
        else:
            number = known.number
            report.segments = 0
        places: dict[str, list[int]] = {}
        facts: list[tuple[str, int | None, int]] = []
        for offset, event in reader.briefs(final=not alive):
            if self.forgotten.holds(event.trajectory, event.thread_id, event.at):
                continue
            self._take(event, path.parent.name)
            report.count_losses(event.losses or event.counts)
            if event.trajectory is not None:
                places.setdefault(plain_text(event.trajectory), []).append(offset)
            elif event.k in _OUTCOMES and event.thread_id is not None:
                facts.append((plain_text(event.thread_id), number, offset))
        for offsets in places.values():
            if any(offsets[0] < gap < offsets[-1] for gap in reader.gaps):
                offsets.append(GAP)
        self.touched.update(places)
        self.base.executemany(
            "INSERT INTO places VALUES (?, ?, ?, ?)",
            [
                (key, number, blob, check_of([key, name, blob]))
                for key, offsets in places.items()
                for blob in (msgspec.msgpack.encode(offsets),)
            ],
        )
        self.base.executemany("INSERT INTO thread_facts VALUES (?, ?, ?)", facts)
        state = state_of(path)[1] if not alive or reader.sealed else ""
        report.torn_tails += name in self._shrunk and not report.torn_tails
        self._remember(number, reader.position, state, report)

    @staticmethod
    def _is_read(path: Path, known: _Known, *, alive: bool) -> bool:
        """Return whether the index has the whole segment.

        Raises:
            Changed: If indexed bytes of the segment changed.
        """
        size, state = state_of(path)
        if size < known.position:
            raise Changed(f"{path.parent.name}/{path.name}", shrunk=True)
        if known.done and known.state != state:
            raise Changed(f"{path.parent.name}/{path.name}")
        return bool(known.done) or (alive and size == known.position)

    def _remember(self, number: int | None, position: int, state: str, report: ReadReport) -> None:
        before = self.base.execute("SELECT report FROM segments WHERE id = ?", [number]).fetchone()[
            0
        ]
        if before:
            report.add(msgspec.msgpack.decode(before, type=ReadReport))
        self.base.execute(
            "UPDATE segments SET position = ?, done = ?, state = ?, report = ? WHERE id = ?",
            [position, int(bool(state)), state, msgspec.msgpack.encode(report), number],
        )

    def _take(self, event: Brief, folder: str) -> None:
        whole = event.k == _RECEIVED and event.kind == "agent"
        span = f"{_FROM_ELSEWHERE}{event.span}" if whole else event.span
        if event.k == _RUN_STARTED or whole:
            self._run(event, span, folder)
        if event.k == _RUN_ENDED or whole:
            self.base.execute(
                "INSERT INTO runs (trajectory, span, ended_ns, status) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET ended_ns = excluded.ended_ns, status = excluded.status",
                [
                    *(plain_text(event.trajectory or ""), span),
                    *(event.ended if whole else event.at, plain_text(event.status)),
                ],
            )
        if event.k == _RECEIVED and event.kind in _CALLS:
            self._rootless(event, folder)

    def _rootless(self, event: Brief, folder: str) -> None:
        """Add a received call; it lists its trajectory if no run of the trajectory arrives."""
        self.base.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, 'abandoned', 0, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET started_ns = min(started_ns, excluded.started_ns), "
            "ended_ns = max(coalesce(ended_ns, 0), coalesce(excluded.ended_ns, 0)), "
            "agent = CASE agent WHEN '' THEN excluded.agent ELSE agent END, "
            "thread_id = coalesce(thread_id, excluded.thread_id), "
            "user = coalesce(user, excluded.user)",
            [
                *(plain_text(event.trajectory or ""), _FROM_ELSEWHERE, folder),
                *(event.at, event.ended, plain_text(event.agent)),
                *(
                    _text_or_none(event.thread_id),
                    _text_or_none(event.user),
                    plain_text(event.source),
                ),
            ],
        )

    def _run(self, event: Brief, span: str | None, folder: str) -> None:
        self.base.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, NULL, 'running', ?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET folder = excluded.folder, "
            "started_ns = excluded.started_ns, resumed = excluded.resumed, "
            "agent = excluded.agent, thread_id = excluded.thread_id, user = excluded.user, "
            "source = excluded.source",
            [
                *(
                    plain_text(event.trajectory or ""),
                    span,
                    folder,
                    event.at,
                    int(event.resumed),
                ),
                *(
                    plain_text(event.agent),
                    _text_or_none(event.thread_id),
                    _text_or_none(event.user),
                ),
                plain_text(event.source),
            ],
        )

    def _forget_segments(self, gone: list[int]) -> None:
        for number in gone:
            lost = self.base.execute("SELECT trajectory FROM places WHERE segment = ?", [number])
            self.touched.update(key for (key,) in lost)
            for table, column in (
                ("places", "segment"),
                ("thread_facts", "segment"),
                ("segments", "id"),
            ):
                self.base.execute(f"DELETE FROM {table} WHERE {column} = ?", [number])  # noqa: S608

    def _summarise(self) -> None:
        """Write the row of each trajectory whose runs changed, from its first and its last run."""
        for key in self.touched:
            runs = self.base.execute(
                "SELECT started_ns, ended_ns, status, folder, agent, thread_id, user, source, "
                "resumed, span FROM runs WHERE trajectory = ? AND started_ns IS NOT NULL "
                "ORDER BY started_ns, span",
                [key],
            ).fetchall()
            placed = self.base.execute("SELECT 1 FROM places WHERE trajectory = ? LIMIT 1", [key])
            gone = placed.fetchone() is None
            if gone:
                self.base.execute("DELETE FROM runs WHERE trajectory = ?", [key])
            if gone or not runs:
                self.base.execute("DELETE FROM trajectories WHERE id = ?", [key])
                continue
            runs = _describing_rows(runs)
            roots = [runs[0], *(run for run in runs[1:] if run[8])]
            first, last = roots[0], roots[-1]
            row = [
                *(key, first[4], first[5], first[6], first[7]),
                *(last[2], first[0], last[1], last[3]),
            ]
            self.base.execute(
                "INSERT OR REPLACE INTO trajectories VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [*row, check_of(row)],
            )


def state_of(path: Path) -> tuple[int, str]:
    """Return the size of a file and a state that changes with it; 0 and "" if it does not exist."""
    try:
        stat = path.stat()
    except OSError:
        return 0, ""
    return stat.st_size, f"{stat.st_size} {stat.st_mtime_ns}"


def _all_segments(home: Path) -> Iterator[tuple[Path, bool]]:
    """Yield all segments, each with whether its process may still write to it."""
    for folder in process_folders(home):
        alive = is_alive(folder)
        paths = segments(folder)
        for path in paths:
            yield path, alive and path == paths[-1]


def _describing_rows(runs: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Choose the rows that describe a trajectory.

    They are its recorded runs, else its received runs, else its received calls.
    """
    own = [run for run in runs if not run[9].startswith(_FROM_ELSEWHERE)]
    return own or [run for run in runs if run[9] != _FROM_ELSEWHERE] or runs


def check_of(values: Sequence[object]) -> int:
    """Compute the check sum of a row's values, which detects a flipped byte."""
    return zlib.crc32(msgspec.msgpack.encode(values))


def plain_text(value: str) -> str:
    """Escape lone surrogates, which SQLite cannot store."""
    return value.encode("utf-8", "backslashreplace").decode()


def _text_or_none(value: str | None) -> str | None:
    return None if value is None else plain_text(value)
