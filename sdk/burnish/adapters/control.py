"""Store control documents in SQL: one per agent, written by compare-and-set, with an audit trail.

`SqlControlStore` is the entry. SQLite is the default; any SQLAlchemy URL works the same way. Readers
of this process get a change at once; others see it at their next poll.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Generator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from burnish.errors import ControlConflict, RegistryError
from burnish.files import platform
from burnish.files.storage import open_private
from burnish.journal.events import canonical
from burnish.journal.layout import ensure_home
from burnish.records import Json

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

Changed = Callable[[dict[str, Json], int], None]

POLL_S = 1.0
_TABLES = (
    "CREATE TABLE IF NOT EXISTS control (agent TEXT PRIMARY KEY, "
    "version BIGINT NOT NULL, document TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS audit (number {serial}, at_ns BIGINT NOT NULL, "
    "agent TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, detail TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS candidates (agent TEXT NOT NULL, "
    "adapter TEXT NOT NULL, decision TEXT NOT NULL, forced BOOLEAN NOT NULL, "
    "evaluation TEXT NOT NULL, evaluation_sha256 TEXT NOT NULL, at_ns BIGINT NOT NULL, "
    "PRIMARY KEY (agent, adapter))",
    "CREATE TABLE IF NOT EXISTS prompt_candidates (agent TEXT NOT NULL, "
    "adapter TEXT NOT NULL, decision TEXT NOT NULL, forced BOOLEAN NOT NULL, "
    "evaluation TEXT NOT NULL, evaluation_sha256 TEXT NOT NULL, at_ns BIGINT NOT NULL, "
    "prompt TEXT NOT NULL, PRIMARY KEY (agent, adapter, prompt))",
    "CREATE TABLE IF NOT EXISTS rollouts (rollout TEXT PRIMARY KEY, "
    "agent TEXT NOT NULL, cursor_ns BIGINT NOT NULL, judge TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS threads (rollout TEXT NOT NULL, "
    "thread TEXT NOT NULL, assigned_ns BIGINT NOT NULL, arm TEXT NOT NULL, "
    "share DOUBLE PRECISION NOT NULL, success BOOLEAN, breaches TEXT, "
    "state TEXT NOT NULL, place BIGINT, PRIMARY KEY (rollout, thread))",
    "CREATE TABLE IF NOT EXISTS gate_decisions (agent TEXT NOT NULL, "
    "evaluation TEXT NOT NULL, number BIGINT NOT NULL, tasks TEXT NOT NULL, "
    "at_ns BIGINT NOT NULL, PRIMARY KEY (agent, evaluation))",
)
_LATER_COLUMNS = {
    "threads": {
        "user_id": "TEXT",
        "reported_ns": "BIGINT",
        "closed_ns": "BIGINT",
        "guarded": "BOOLEAN",
    }
}
"""Columns that tables of earlier versions lack."""
_APPEND_ONLY = tuple(
    f"CREATE TRIGGER IF NOT EXISTS audit_{verb.lower()} BEFORE {verb} ON audit "
    "BEGIN SELECT RAISE(ABORT, 'the audit trail is only appended to'); END"
    for verb in ("UPDATE", "DELETE")
)


class SqlControlStore:
    """The control documents of one workspace or fleet (implements `ControlStore`).

    Args:
        home: Folder of the workspace; its `control.sqlite` is the default database.
        url: SQLAlchemy URL of another database, for a fleet.
    """

    def __init__(self, home: Path, *, url: str | None = None) -> None:
        self.home = Path(home)
        self.path = None if url else (self.home / "control.sqlite").absolute()
        self.url = url or f"sqlite:///{self.path}"

    def read(self, agent: str) -> tuple[dict[str, Json], int]:
        """Return the document and its version; `({}, 0)` before the first write."""
        if self.path is not None and not self.path.exists():
            return {}, 0
        with self.transaction(write=False) as connection:
            return self.read_in(connection, agent)

    def read_in(self, connection: Connection, agent: str) -> tuple[dict[str, Json], int]:
        """Return document and version, inside a transaction."""
        row = connection.execute(
            _prepare_sql("SELECT document, version FROM control WHERE agent = :agent"),
            {"agent": agent},
        ).first()
        return (msgspec.json.decode(row.document), row.version) if row else ({}, 0)

    def write(self, agent: str, document: dict[str, Json], *, expected_version: int) -> int:
        """Store the document if its version is still the expected one; return the new version.

        Raises:
            ControlConflict: If another writer was faster.
        """
        with self.transaction() as connection:
            version = self.write_in(connection, agent, document, expected_version)
        self.notify_readers(agent)
        return version

    def write_in(
        self, connection: Connection, agent: str, document: dict[str, Json], expected_version: int
    ) -> int:
        """Store the document inside a transaction; call `notify_readers` after it."""
        from sqlalchemy.exc import IntegrityError

        values = {
            "agent": agent,
            "document": canonical(document).decode(),
            "expected": expected_version,
            "version": expected_version + 1,
        }
        if expected_version:
            changed = connection.execute(_prepare_sql(_UPDATE), values).rowcount == 1
        else:
            try:
                with connection.begin_nested():
                    connection.execute(_prepare_sql(_INSERT), values)
                changed = True
            except IntegrityError:
                changed = False
        if changed:
            return expected_version + 1
        found = self.read_in(connection, agent)[1]
        raise ControlConflict(
            f"control document of {agent!r} is at version {found}",
            f"version {expected_version}, which was read before",
            "read it again and repeat the change",
        )

    def watch(self, agent: str, changed: Changed) -> None:
        """Call `changed` after each write: at once for this process, within 1 s for others."""
        _ChangeWatcher.of(self).add(agent, changed)

    def unwatch(self, agent: str, changed: Changed) -> None:
        """Stop calling `changed`."""
        _ChangeWatcher.of(self).remove(agent, changed)

    def notify_readers(self, agent: str) -> None:
        """Notify the readers of this process that a document was written."""
        for reference in tuple(_push_listeners):
            listener = reference()
            if listener is None:
                _push_listeners.remove(reference)
            else:
                listener(self.url, agent)

    def record_action(self, connection: Connection, agent: str, action: str, detail: Json) -> None:
        """Append to the audit trail, in the transaction of the action itself."""
        connection.execute(
            _prepare_sql(
                "INSERT INTO audit (at_ns, agent, actor, action, detail) "
                "VALUES (:at_ns, :agent, :actor, :action, :detail)"
            ),
            {
                "at_ns": time.time_ns(),
                "agent": agent,
                "actor": _describe_actor(),
                "action": action,
                "detail": canonical(detail).decode(),
            },
        )

    def audit(self, agent: str | None = None) -> list[dict[str, Json]]:
        """Return the audit trail, oldest first: at_ns, agent, actor, action, detail."""
        if self.path is not None and not self.path.exists():
            return []
        with self.transaction(write=False) as connection:
            rows = connection.execute(
                _prepare_sql(
                    "SELECT at_ns, agent, actor, action, detail FROM audit ORDER BY number"
                )
            ).mappings()
            return [
                {**row, "detail": msgspec.json.decode(row["detail"])}
                for row in rows
                if agent in (None, row["agent"])
            ]

    @contextlib.contextmanager
    def transaction(self, *, write: bool = True) -> Generator[Connection]:
        """Open a transaction over all tables; a writing one is exclusive from its first statement.

        Raises:
            RegistryError: If the database cannot be used.
        """
        from sqlalchemy.exc import DatabaseError, IntegrityError

        if self.path is not None and write:
            ensure_home(self.home)
        try:
            engine = _open_engine(self.url, os.getpid(), self._find_inode())
            connected = engine.connect().execution_options(burnish_write=write)
            with connected as connection, connection.begin():
                yield connection
        except IntegrityError:
            raise
        except DatabaseError as problem:
            raise RegistryError(
                f"control store {self.url} failed: {problem.orig}",
                "a database that can be written",
                "burnish doctor",
            ) from problem

    def _find_inode(self) -> int:
        """Return the inode of the database file, which distinguishes a replaced file from the old one."""
        if self.path is None:
            return 0
        if not self.path.exists():
            os.close(open_private(self.path, os.O_CREAT | os.O_RDWR))
            _open_engine(self.url, os.getpid(), 0)
            _open_engine.cache_clear()
        return self.path.stat().st_ino


_UPDATE = (
    "UPDATE control SET document = :document, version = :version "
    "WHERE agent = :agent AND version = :expected"
)
_INSERT = "INSERT INTO control (agent, version, document) VALUES (:agent, :version, :document)"
_push_listeners: list[Callable[[], Callable[[str, str], None] | None]] = []


def add_push_listener(listener: Callable[[str, str], None]) -> None:
    """Call the method `listener(url, agent)` after each write, while its object lives."""
    _push_listeners.append(weakref.WeakMethod(listener))


@lru_cache(maxsize=256)
def _prepare_sql(text: str) -> Any:
    from sqlalchemy import text as statement

    return statement(text)


@lru_cache(maxsize=32)
def _open_engine(url: str, _process: int, _file: int) -> Engine:
    """Return the engine of a database; one per process, since connections do not survive a fork."""
    from sqlalchemy import create_engine, event

    engine = create_engine(url)
    lite = engine.dialect.name == "sqlite"
    if lite:
        event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_transaction)
    serial = "INTEGER PRIMARY KEY AUTOINCREMENT" if lite else "BIGSERIAL PRIMARY KEY"
    with engine.connect().execution_options(burnish_write=True) as connection, connection.begin():
        for statement in (*_TABLES, *(_APPEND_ONLY if lite else ())):
            connection.exec_driver_sql(statement.replace("{serial}", serial))
        _add_later_columns(connection)
    return engine


def _add_later_columns(connection: Connection) -> None:
    from sqlalchemy import inspect

    inspector = inspect(connection)
    for table, columns in _LATER_COLUMNS.items():
        known = {column["name"] for column in inspector.get_columns(table)}
        for name, kind in columns.items():
            if name not in known:
                connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin below, not in the driver
    for pragma in ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_transaction(connection: Connection) -> None:
    write = connection.get_execution_options().get("burnish_write", True)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
    elif write and connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7236411)")


def _describe_actor() -> str:
    return f"{platform.user_name()}@{socket.gethostname()}:{os.getpid()}"


class _ChangeWatcher:
    """Notifies listeners of changes in one database: pushed in this process, polled once a second."""

    _all: ClassVar[dict[tuple[str, int], _ChangeWatcher]] = {}
    _lock = threading.Lock()

    def __init__(self, store: SqlControlStore) -> None:
        self._store = store
        self._listeners: list[tuple[str, Changed]] = []
        self._seen: dict[str, int] = {}
        self._wake = threading.Event()
        add_push_listener(self._on_push)
        threading.Thread(
            target=self._poll_changes, name="burnish-control-watch", daemon=True
        ).start()

    @classmethod
    def of(cls, store: SqlControlStore) -> _ChangeWatcher:
        key = (store.url, os.getpid())
        with cls._lock:
            if key not in cls._all:
                cls._all[key] = cls(store)
            return cls._all[key]

    def add(self, agent: str, changed: Changed) -> None:
        self._seen.setdefault(agent, self._store.read(agent)[1])
        self._listeners.append((agent, changed))

    def remove(self, agent: str, changed: Changed) -> None:
        with contextlib.suppress(ValueError):
            self._listeners.remove((agent, changed))

    def _on_push(self, url: str, agent: str) -> None:
        if url == self._store.url and agent in self._seen:
            self._wake.set()

    def _poll_changes(self) -> None:
        while True:
            self._wake.wait(POLL_S)
            self._wake.clear()
            for agent in {agent for agent, _ in self._listeners}:
                with contextlib.suppress(RegistryError):
                    self._check_agent(agent)

    def _check_agent(self, agent: str) -> None:
        document, version = self._store.read(agent)
        if version == self._seen.get(agent):
            return
        self._seen[agent] = version
        for listened, changed in tuple(self._listeners):
            if listened == agent:
                changed(document, version)
