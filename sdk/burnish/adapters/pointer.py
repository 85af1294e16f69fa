"""Read the pointer of an agent for every model call, in a few microseconds.

`PointerReader.read` is the entry. A pointer names the stable and the canary version, the share and
the salt; `canary/` chooses and compares arms.
"""

# How it works: a read costs one look at the clock. Every 40 ms one caller also asks SQLite whether
# anyone committed (`PRAGMA data_version`, a few µs), so a rollback reaches every process of a host
# within that time. A process that cannot reach the store for 30 s sends no canary traffic, because a
# rollback would not reach it. It keeps the stable version, also over a restart (snapshot on disk).

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import msgspec

from burnish.adapters.control import SqlControlStore, add_push_listener
from burnish.errors import RegistryError
from burnish.files.storage import BROKEN_JSON, atomic_write, make_private_folder
from burnish.records import Json, Record

STALE_AFTER_S = 30.0
OWN = "own"
"""Backend of a target that the agent's own chat model answers."""
_LOOK_S = 0.04
_POLL_S = 1.0


class Target(Record, frozen=True, kw_only=True):
    """The version that answers: a backend, its base model, the adapter version, and the prompt version."""

    backend: str = "embedded"
    base_model: str = ""
    adapter: str | None = None
    prompt: str | None = None  # None: the agent's own prompts

    @property
    def label(self) -> str:
        """The version in words: adapter or base model, and the prompt if it is not the agent's own."""
        model = self.adapter or self.base_model or "the agent's own model"
        return model if self.prompt is None else f"{model} with {self.prompt}"

    def without_prompt(self) -> Target:
        """Return what a backend has to serve for this version."""
        return self if self.prompt is None else msgspec.structs.replace(self, prompt=None)


class Pointer(Record, frozen=True, kw_only=True):
    """The part of an agent's control document that routers read."""

    stable: Target | None = None  # None: the user's own model, unchanged
    canary: Target | None = None
    share: float = 0.0
    salt: str = ""
    previous: Target | None = None  # the version of the hold-back
    holdback: float = 0.0
    version: int = 0

    def without_canary(self) -> Pointer:
        """Return the pointer with all threads on stable."""
        return msgspec.structs.replace(self, canary=None, share=0.0, holdback=0.0)


class _PointerSource(Protocol):
    def read_if_changed(self, agent: str) -> Pointer | None:
        """Return the pointer if it may have changed, else None.

        Raises:
            RegistryError: If the store does not answer.
        """
        ...


class PointerReader:
    """Reads the pointer of one agent.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
        store: A control store other than the workspace's own.
        clock: A monotonic clock in seconds.
    """

    def __init__(
        self,
        home: Path,
        agent: str,
        *,
        store: SqlControlStore | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.agent = agent
        self._store = store or SqlControlStore(home)
        self._snapshot = Path(home) / "control" / f"{quote(agent, safe='')}.json"
        self._source: _PointerSource = (
            _SqliteSource(self._store.path, self._snapshot, clock)
            if self._store.path is not None
            else _WatchedSource(self._store, agent)
        )
        self._clock = clock
        self._lock = threading.Lock()
        self._pointer = Pointer()
        self._heard: float | None = None
        self._next = float("-inf")
        add_push_listener(self._on_push)

    def read(self) -> Pointer:
        """Return the pointer, at most some milliseconds old."""
        if self._clock() < self._next:
            return self._pointer
        return self._refresh_pointer()

    @property
    def silent_s(self) -> float:
        """Seconds since the store last answered; infinite if it never did."""
        return float("inf") if self._heard is None else self._clock() - self._heard

    def _refresh_pointer(self) -> Pointer:
        if not self._lock.acquire(blocking=self._heard is None):
            return self._pointer  # another thread is refreshing
        try:
            self._ask_source()
        finally:
            self._next = self._clock() + _LOOK_S
            self._lock.release()
        return self._pointer

    def _ask_source(self) -> None:
        try:
            found = self._source.read_if_changed(self.agent)
        except RegistryError:
            if self._heard is None:
                self._pointer = self._read_snapshot()
            elif self.silent_s > STALE_AFTER_S:
                self._pointer = self._pointer.without_canary()
            return
        if found is not None:
            self._pointer = found
            self._write_snapshot()
        self._heard = self._clock()

    def _on_push(self, url: str, agent: str) -> None:
        if agent == self.agent and url == self._store.url:
            self._next = float("-inf")

    def _read_snapshot(self) -> Pointer:
        with contextlib.suppress(OSError, *BROKEN_JSON):
            kept = msgspec.json.decode(self._snapshot.read_bytes(), type=Pointer)
            return kept.without_canary()
        return Pointer()

    def _write_snapshot(self) -> None:
        """Write the snapshot if possible; a process that cannot write still routes."""
        if not self._pointer.version:
            return
        with contextlib.suppress(OSError):
            make_private_folder(self._snapshot.parent)
            atomic_write(self._snapshot, msgspec.json.encode(self._pointer), durable=False)


def decode_pointer(document: dict[str, Json], version: int) -> Pointer:
    """Read the pointer from a control document."""
    return msgspec.convert({**document, "version": version}, Pointer)


class _SqliteSource:
    """Reads the SQLite file through its own connection."""

    def __init__(self, path: Path, snapshot: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._snapshot = snapshot
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._inherited: list[
            object
        ] = []  # connections of the parent process: kept open, never used
        self._process = self._inode = self._data_version = self._document_version = -1
        self._next_stat = float("-inf")
        self._ever = False

    def read_if_changed(self, agent: str) -> Pointer | None:
        try:
            connection = self._open_connection()
            if connection is None:
                return None
            (data_version,) = connection.execute("PRAGMA data_version").fetchone()
            if data_version == self._data_version:
                return None
            row = connection.execute(
                "SELECT document, version FROM control WHERE agent = ?", (agent,)
            ).fetchone()
        except (sqlite3.Error, OSError) as problem:
            self._close_connection()
            raise RegistryError(f"{self._path}: {problem}", "a readable control store") from problem
        self._data_version = data_version
        return self._decode_row(row)

    def _decode_row(self, row: tuple[str, int] | None) -> Pointer | None:
        version = row[1] if row else 0
        if version == self._document_version:
            return None
        try:
            found = decode_pointer(msgspec.json.decode(row[0]), version) if row else Pointer()
        except (TypeError, *BROKEN_JSON) as problem:
            raise RegistryError(f"{self._path}: {problem}", "a control document") from problem
        self._document_version = version
        return found

    def _open_connection(self) -> sqlite3.Connection | None:
        """Return the open connection, or None while no store exists."""
        if self._process != os.getpid():
            self._inherited.append(self._connection)
            self._connection, self._process, self._next_stat = None, os.getpid(), float("-inf")
        if self._connection is not None and self._clock() < self._next_stat:
            return self._connection
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            if self._ever or self._snapshot.exists():
                raise  # a store existed before
            return None
        self._next_stat = self._clock() + _POLL_S
        if self._connection is None or inode != self._inode:
            self._close_connection()
            self._connection = sqlite3.connect(
                f"{self._path.as_uri()}?mode=rw",
                uri=True,
                timeout=0.05,
                check_same_thread=False,
                isolation_level=None,
            )
            self._inode, self._data_version, self._ever = inode, -1, True
        return self._connection

    def _close_connection(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection, self._data_version, self._document_version = None, -1, -1


class _WatchedSource:
    """Watches a store that is too slow for each call: pushed, and polled once a second."""

    def __init__(self, store: SqlControlStore, agent: str) -> None:
        self._store = store
        self._latest: tuple[dict[str, Json], int] | None = None
        self._given = -1
        self._problem: RegistryError | None = None
        self._started = False
        self._agent = agent

    def read_if_changed(self, agent: str) -> Pointer | None:
        if not self._started:
            self._latest = self._store.read(agent)
            self._started = True
            threading.Thread(target=self._poll_store, name="burnish-pointer", daemon=True).start()
            self._store.watch(agent, self._on_change)
        if self._problem is not None:
            raise self._problem
        latest = self._latest
        if latest is None or latest[1] == self._given:
            return None
        self._given = latest[1]
        return decode_pointer(*latest)

    def _on_change(self, document: dict[str, Json], version: int) -> None:
        self._latest = (document, version)

    def _poll_store(self) -> None:
        while True:
            try:
                self._latest, self._problem = self._store.read(self._agent), None
            except RegistryError as problem:
                self._problem = problem
            time.sleep(_POLL_S)
