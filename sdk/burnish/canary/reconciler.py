"""Reconcile the versions that backends serve with the control document of an agent.

The document names the versions in service (stable, canary, the previous one of a hold-back) and
those that are retired. `reconcile` loads and proves missing versions, for example after a server
was restarted, and unloads retired ones. `restore` does so for one version during a call. Each
action is logged, counted and kept in the audit trail.

How it works: any process may reconcile at any time, because loading a version twice is harmless
and versions are immutable. A retired version stays loaded for `GRACE_S`, within which every router
sees the change; a later call for it is answered by the stable version.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from burnish.adapters.control import SqlControlStore
from burnish.adapters.pointer import Target
from burnish.adapters.store import AdapterStore
from burnish.canary import document as moves
from burnish.canary.document import RolloutDocument
from burnish.errors import BurnishError, UnknownAdapter
from burnish.protocols import Backend
from burnish.records import Json

logger = logging.getLogger(__name__)

GRACE_S = 30.0
"""Seconds for which a retired version stays loaded."""
_NOTE_EVERY_S = 60.0
_RETRY_AFTER_S = 5.0
_NO_ADDRESS = "own"  # a target on the user's own endpoint, whose adapter routes are not known

Action = Literal["restored", "unloaded", "not_restored", "taken_over"]


class Reconciler:
    """Reconciles the backends of one agent.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
        store: A control store other than the workspace's own.
    """

    def __init__(self, home: Path, agent: str, *, store: SqlControlStore | None = None) -> None:
        self.home = Path(home)
        self.agent = agent
        self._store = store or SqlControlStore(self.home)
        self._adapters = AdapterStore(self.home)
        self._backends: dict[tuple[str, str], Backend] = {}
        self._lock = threading.Lock()
        self._failed: dict[Target, float] = {}
        self._told: dict[tuple[str, str], float] = {}
        self._counts: dict[tuple[str, str], int] = {}

    @classmethod
    def shared(cls, home: Path, agent: str) -> Reconciler:
        """Return the reconciler of an agent in this process."""
        return _shared(home, agent)

    def wished(self) -> list[Target]:
        """List the versions that backends must serve now."""
        return moves.list_targets(self._document())

    def reconcile(self) -> list[dict[str, Json]]:
        """Load missing versions and unload retired ones; return what was done or failed."""
        document, done = self._document(), list[dict[str, Json]]()
        for target in moves.list_targets(document):
            try:
                if (
                    self._reachable(target)
                    and (target.adapter or "") not in self._backend(target).list()
                ):
                    self._load(target)
                    done.append(self._tell("restored", target, "it was not loaded"))
            except BurnishError as problem:
                done.append(self._tell("not_restored", target, problem.found))
        return done + self._give_back(document)

    def restore(self, target: Target) -> bool:
        """Load and prove a version that its backend has lost; return whether it is served now.

        A version that is not in the control document is not loaded. Concurrent callers wait for one
        another, and a failed attempt is not repeated for some seconds.

        Args:
            target: The version and its backend.
        """
        with self._lock:
            if self._failed.get(target, 0.0) > time.monotonic() or not self._reachable(target):
                return False
            try:
                if target not in self.wished():
                    return False
                self._load(target)
            except BurnishError as problem:
                self._failed[target] = time.monotonic() + _RETRY_AFTER_S
                self._tell("not_restored", target, problem.found)
                return False
        self._tell("restored", target, "a call found it missing")
        return True

    def taken_over(self, target: Target, reason: str) -> None:
        """Record that another version answered a call in place of one that could not.

        Args:
            target: The version that could not answer.
            reason: The cause.
        """
        self._tell("taken_over", target, reason)

    def _load(self, target: Target) -> None:
        """Load and prove a version; unload it if the proof fails."""
        version = target.adapter or ""
        backend = self._backend(target)
        backend.load(version, self._adapters.path(version))
        try:
            backend.probe(version)
        except BurnishError:
            self._unload(backend, version)
            raise

    def _give_back(self, document: RolloutDocument) -> list[dict[str, Json]]:
        """Unload retired versions whose grace period has passed."""
        done, gone = list[dict[str, Json]](), list[Target]()
        for retired in document.retired:
            if time.time_ns() - retired.at_ns < GRACE_S * 1e9:
                continue
            try:
                if self._reachable(retired.target):
                    self._unload(self._backend(retired.target), retired.target.adapter or "")
            except BurnishError as problem:  # the next run tries again
                logger.warning("burnish: %s stays loaded: %s", retired.target.adapter, problem)
                continue
            gone.append(retired.target)
            done.append(self._tell("unloaded", retired.target, "retired"))
        if gone:
            with self._store.transaction() as connection:
                raw, version = self._store.read_in(connection, self.agent)
                kept = moves.remove_retired(msgspec.convert(raw, RolloutDocument), gone)
                self._store.write_in(connection, self.agent, msgspec.to_builtins(kept), version)
            self._store.notify_readers(self.agent)
        return done

    def _unload(self, backend: Backend, version: str) -> None:
        try:
            backend.unload(version)
        except UnknownAdapter:
            return  # a restarted server no longer has it

    def _reachable(self, target: Target) -> bool:
        """Return whether the adapter routes of a target's backend can be used from this process."""
        if target.adapter is None or target.backend == _NO_ADDRESS:
            return False
        if target.backend != "embedded":
            return True
        engines = sys.modules.get("burnish.serving.embedded.engine")  # no model is loaded for this
        return engines is not None and engines.Engine.find_shared(target.base_model) is not None

    def _backend(self, target: Target) -> Backend:
        from burnish.serving.backends import open_backend

        key = (target.backend, target.base_model)
        if key not in self._backends:
            self._backends[key] = open_backend(target.backend, target.base_model or None)
        return self._backends[key]

    def _document(self) -> RolloutDocument:
        return msgspec.convert(self._store.read(self.agent)[0], RolloutDocument)

    def _tell(self, action: Action, target: Target, reason: str) -> dict[str, Json]:
        """Log and record an action; repetitions within a minute are counted and recorded later."""
        key = (action, target.adapter or target.base_model)
        self._counts[key] = self._counts.get(key, 0) + 1
        detail: dict[str, Json] = {"adapter": key[1], "backend": target.backend, "reason": reason}
        if self._told.get(key, 0.0) <= time.monotonic():
            self._told[key] = time.monotonic() + _NOTE_EVERY_S
            calls = self._counts.pop(key)
            logger.warning("burnish: %s of %s: %s (%s)", key[1], self.agent, action, reason)
            self._note(action, {**detail, "times": calls})
        return {"action": action, **detail}

    def _note(self, action: str, detail: dict[str, Json]) -> None:
        try:
            with self._store.transaction() as connection:
                self._store.record_action(connection, self.agent, action, detail)
        except BurnishError as problem:  # a call must not fail because the record fails
            logger.warning("burnish: the audit trail could not be written: %s", problem)


@lru_cache(maxsize=256)
def _shared(home: Path, agent: str) -> Reconciler:
    return Reconciler(home, agent)
