"""One agent's rollout: from a candidate that passed the gate to promotion or rollback.

Knows: the order of things, what is kept, who is told. Does not know: statistics (analysis.py),
rules (policy.py), states (document.py).

Everything is in the control store, so that any process can look at any time, and one that was
killed between two steps is followed by the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from burnish.adapters.control import SqlControlStore
from burnish.adapters.pointer import Target
from burnish.adapters.registry import Registry
from burnish.canary import document as moves
from burnish.canary import status
from burnish.canary.assignment import Arm, assign
from burnish.canary.document import RUNNING, Document
from burnish.canary.judge import Judge
from burnish.canary.ledger import Ledger, Thread
from burnish.canary.outcomes import Seen, ThreadReader
from burnish.canary.reconciler import Reconciler
from burnish.errors import BurnishError, CanaryError
from burnish.project import CanaryConfig
from burnish.protocols import Backend
from burnish.records import Json

if TYPE_CHECKING:
    from sqlalchemy import Connection

_SLACK_NS = 60 * 10**9  # how far back trajectories are read again: clocks of hosts differ


class Rollout:
    """The rollout of one agent.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
        store: Another control store than the workspace's own.
    """

    def __init__(self, home: Path, agent: str, *, store: SqlControlStore | None = None) -> None:
        self.home = Path(home)
        self.agent = agent
        self.store = store or SqlControlStore(self.home)
        self.registry = Registry(self.home, store=self.store)
        self._reconciler = Reconciler(self.home, agent, store=self.store)

    def start(
        self,
        candidate: Target | str,
        config: CanaryConfig | None = None,
        *,
        backend: Backend | None = None,
        doubts: Sequence[str] = (),
    ) -> dict[str, Json]:
        """Give a candidate its first share of threads.

        Args:
            candidate: An adapter version, or a target that names its backend too.
            config: How; by default as docs/burnish.toml says.
            backend: Where to load and prove the version before any traffic.
            doubts: Why who decides may be wrong; kept, and shown with the status.

        Returns:
            The status.

        Raises:
            RegistryError: If the version has no evaluation report or did not pass the gate.
            CanaryError: If another rollout runs, or the version serves already.
            ServingError: If the backend cannot prove that it serves the version.
            BaseModelMismatch: If the version was made for another base model.
        """
        target = candidate if isinstance(candidate, Target) else self._target(candidate)
        forced = bool(target.adapter) and self.registry.require(self.agent, target.adapter).forced
        config = config or CanaryConfig()
        self._change(
            lambda _, document: moves.staged(document, target, config, forced=forced, doubts=doubts)
        )
        if backend is not None and target.adapter is not None:
            self._prove(backend, target.adapter)
        self._change(self._first_step)
        return self.status()

    def observe(self) -> dict[str, Json]:
        """Read what became of the threads, and make the moves that follow; returns the status."""
        document = self.document()
        if document.state in ("CANARY", "PAUSED", "PROMOTED") and document.config.decides:
            seen, cursor_ns = self._read(document)
            self._change(lambda connection, now: self._judge(connection, now, seen, cursor_ns))
        found = self.reconcile()
        return {**self.status(), **({"backends": found} if found else {})}

    def reconcile(self) -> list[dict[str, Json]]:
        """Load what backends have lost and unload what is retired; returns what was done or failed."""
        return self._reconciler.reconcile()

    def record(
        self,
        thread_id: str,
        success: bool,
        *,
        breaches: Mapping[str, bool] | None = None,
        arm: Arm | None = None,
    ) -> dict[str, Json]:
        """Tell the outcome of a thread by hand; the first word counts. Returns the status.

        Args:
            thread_id: The thread.
            success: Its outcome.
            breaches: Guard metrics that it breached.
            arm: Where it was put; by default where its id belongs now.
        """
        now_ns = time.time_ns()

        def judge(connection: Connection, document: Document) -> Document:
            belongs = assign(thread_id, document.salt, document.share_now)
            seen = Seen(
                thread=thread_id,
                started_ns=now_ns,
                assigned_ns=now_ns,
                arm=arm or ("canary" if belongs else "stable"),
                success=success,
                breaches=dict(breaches or {}),
                running=False,
            )
            return self._judge(connection, document, [seen], 0)

        self._change(judge)
        return self.status()

    def advance(self) -> dict[str, Json]:
        """Take the next step by hand, or go on after a pause; returns the status.

        Raises:
            CanaryError: If there is no further step, or nothing runs.
        """

        def move(_: object, document: Document) -> Document:
            if document.state == "PAUSED":
                return moves.stepped(document, document.step, "gone on by hand")
            if document.state != "CANARY" or document.step + 2 >= len(document.config.steps):
                raise self._cannot("advance", document, "a canary before its last step")
            return moves.stepped(document, document.step + 1, "by hand")

        self._change(move)
        return self.status()

    def promote(self, force: bool = False) -> dict[str, Json]:
        """Let the candidate serve everybody; returns the status.

        Args:
            force: Without enough evidence; kept in the audit trail.

        Raises:
            CanaryError: If nothing runs, or the evidence does not suffice.
        """

        def move(connection: Connection, document: Document) -> Document:
            if document.state not in ("CANARY", "PAUSED"):
                raise self._cannot("promote", document, "a canary")
            judge = self._judge_of(connection, document)
            evidence, config = judge.analysis.evidence(), document.config
            proven = evidence.not_worse >= 1 / config.alpha
            if not force and not (proven and evidence.threads["canary"] >= config.min_threads):
                raise CanaryError(
                    f"evidence for {document.adapter} is {evidence.not_worse:.3g} after "
                    f"{evidence.threads['canary']} canary threads",
                    f"{1 / config.alpha:.3g} and {config.min_threads} threads",
                    f"burnish canary promote {self.agent} --force",
                )
            moved = moves.promoted(document, "by hand", forced=not proven)
            self._open_book(connection, moved)
            return moved

        self._change(move)
        return self.status()

    def rollback(self, reason: str) -> dict[str, Json]:
        """Put everybody back on the version from before, at once; returns the status.

        Raises:
            CanaryError: If nothing runs and nothing was promoted.
        """

        def move(_: object, document: Document) -> Document:
            if document.state not in (*RUNNING, "PROMOTED"):
                raise self._cannot("roll back", document, "a running or promoted rollout")
            return moves.rolled_back(document, reason)

        self._change(move)
        return self.status()

    def pause(self, reason: str = "by hand") -> dict[str, Json]:
        """Stop canary traffic without a decision; `advance` goes on. Returns the status.

        Raises:
            CanaryError: If no canary runs.
        """

        def move(_: object, document: Document) -> Document:
            if document.state != "CANARY":
                raise self._cannot("pause", document, "a canary")
            return moves.paused(document, reason)

        self._change(move)
        return self.status()

    def document(self) -> Document:
        """The control document as it is now."""
        return msgspec.convert(self.store.read(self.agent)[0], Document)

    def status(self) -> dict[str, Json]:
        """State, share, targets and evidence, as plain data."""
        document = self.document()
        told = status.backend_events(self.store.audit(self.agent), document)
        if document.started_ns == 0:
            return status.facts(self.agent, document) | told
        with self.store.transaction(write=False) as connection:
            judge = self._judge_of(connection, document)
            counts = Ledger(connection, document.book).counts()
        return status.whole(self.agent, document, judge, counts) | told

    def trail(self) -> list[dict[str, Json]]:
        """The evidence after each judged thread, for pictures, in the order of judgement."""
        document = self.document()
        if document.started_ns == 0:
            return []
        with self.store.transaction(write=False) as connection:
            ledger = Ledger(connection, document.rollout)
            threads, (state, _) = ledger.all("judged"), ledger.judge()
        return status.trail(document, threads, state)

    def in_service(self) -> list[str]:
        """Adapter versions that a backend must keep loaded now."""
        return [target.adapter or "" for target in moves.targets_of(self.document())]

    def _target(self, version: str) -> Target:
        manifest = self.registry.adapters.get(version)
        return Target(backend="embedded", base_model=manifest.base_model, adapter=version)

    def _prove(self, backend: Backend, version: str) -> None:
        try:
            backend.load(version, self.registry.adapters.path(version))
            backend.probe(version)
        except BurnishError as problem:
            reason = f"could not be served: {problem.found}"
            self._change(lambda _, document: moves.rolled_back(document, reason))
            raise
        self._change(lambda _, document: moves.loaded(document, "served and proven"))

    def _first_step(self, connection: Connection, document: Document) -> Document:
        moved = moves.stepped(document, 0, "first step")
        self._open_book(connection, moved)
        return moved

    def _open_book(self, connection: Connection, document: Document) -> None:
        stable = document.previous if document.state == "PROMOTED" else document.stable
        history = (0, 0)
        if document.config.decides:
            reader = ThreadReader(self.home, self.agent, document.config)
            history = reader.history(stable.adapter if stable else None)
        judge = Judge(document, history=history)
        Ledger(connection, document.book).begin(
            self.agent, judge.state(), document.events[-1].at_ns
        )

    def _judge_of(self, connection: Connection, document: Document) -> Judge:
        return Judge(document, Ledger(connection, document.book).judge()[0])

    def _read(self, document: Document) -> tuple[list[Seen], int]:
        """Threads with news, and from where to read the next time."""
        with self.store.transaction(write=False) as connection:
            ledger = Ledger(connection, document.book)
            cursor_ns = ledger.judge()[1]
            done = ledger.done()
        reader = ThreadReader(self.home, self.agent, document.config)
        seen = reader.threads(cursor_ns, document.adapter, done)
        waiting = [
            thread.started_ns
            for thread in seen
            if (thread.success is None or thread.running)
            and document.share_at(thread.assigned_ns) > 0.0
        ]
        newest = max((thread.started_ns for thread in seen), default=cursor_ns + _SLACK_NS)
        return seen, max(cursor_ns, min([*waiting, newest - _SLACK_NS]))

    def _judge(
        self, connection: Connection, document: Document, seen: list[Seen], cursor_ns: int
    ) -> Document:
        """Enter what was seen and judge the threads whose turn it is."""
        if document.state not in ("CANARY", "PAUSED", "PROMOTED"):
            return document
        ledger = Ledger(connection, document.book)
        state, kept_cursor_ns = ledger.judge()
        judge = Judge(document, state)
        judge.assigned(ledger.put(_entries(seen, document)))
        now_ns, book = time.time_ns(), document.book
        for thread, becomes in judge.ready(list(ledger.all("open")), document, now_ns):
            if becomes == "missed":
                ledger.close(thread, "missed")
                continue
            ledger.close(thread, "judged", judge.judged)
            document = judge.take(thread, document)
            if document.book != book or document.state == "ROLLED_BACK":
                break
        else:
            document = judge.look(document, now_ns)
        ledger.keep(judge.state(), max(cursor_ns, kept_cursor_ns))
        if document.book != book:
            self._open_book(connection, document)
        return document

    def _change(self, move: Callable[[Connection, Document], Document]) -> Document:
        """Make a move: alone, whole, with its entry in the audit trail, and known to all."""
        with self.store.transaction() as connection:
            raw, version = self.store.read_in(connection, self.agent)
            document = msgspec.convert(raw, Document)
            moved = move(connection, document)
            if moved == document:
                return document
            moved = moves.with_retired(document, moved)
            self.store.write_in(connection, self.agent, msgspec.to_builtins(moved), version)
            for event in moved.events[_shared(document, moved) :]:
                detail = {
                    "rollout": moved.rollout,
                    "candidate": moved.adapter,
                    "share": event.share,
                    "reason": event.reason,
                    "forced": moved.forced,
                }
                self.store.note(connection, self.agent, event.state.lower(), detail)
        self.store.pushed(self.agent)
        return moved

    def _cannot(self, what: str, document: Document, expected: str) -> CanaryError:
        return CanaryError(
            f"cannot {what}: the rollout of {self.agent!r} is {document.state}",
            expected,
            f"burnish canary status {self.agent}",
        )


def _entries(seen: list[Seen], document: Document) -> list[Thread]:
    """What was seen as entries of the ledger; threads from before the rollout are left out."""
    return [
        Thread(
            thread=thread.thread,
            assigned_ns=thread.assigned_ns,
            arm=thread.arm,
            share=share,
            success=None if thread.running else thread.success,
            breaches=thread.breaches,
        )
        for thread in seen
        if (share := document.share_at(thread.assigned_ns)) > 0.0
    ]


def _shared(before: Document, after: Document) -> int:
    """Number of events that two documents begin with in common."""
    return len(before.events) if before.rollout == after.rollout else 0
