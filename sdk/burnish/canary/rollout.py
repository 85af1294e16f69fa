"""Run one agent's rollout, from a candidate that passed the gate to promotion or rollback.

Statistics are in analysis.py, rules in policy.py, states in document.py. All state is in the control
store: any process can observe the rollout at any time, and continues one whose process was killed.
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
from burnish.canary.document import RUNNING, RolloutDocument
from burnish.canary.evaluator import PhaseEvaluator
from burnish.canary.ledger import Thread, ThreadLedger
from burnish.canary.outcomes import ObservedThread, ThreadReader
from burnish.canary.reconciler import Reconciler
from burnish.errors import BurnishError, CanaryError
from burnish.project import CanaryConfig
from burnish.protocols import Backend
from burnish.records import Json

if TYPE_CHECKING:
    from sqlalchemy import Connection

_SLACK_NS = 60 * 10**9  # trajectories of this time are read again, because clocks of hosts differ


class Rollout:
    """The rollout of one agent.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
        store: A control store other than the workspace's own.
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
        """Send a candidate its first share of threads.

        Args:
            candidate: An adapter version, or a target that names its backend too.
            config: Canary settings; defaults as in docs/burnish.toml.
            backend: Backend that loads and probes the version before any traffic.
            doubts: Why the deciding source may be unreliable; stored, and shown in the status.

        Returns:
            The status.

        Raises:
            RegistryError: If the version has no evaluation report or did not pass the gate.
            CanaryError: If another rollout runs, or the version already serves.
            ServingError: If the probe of the backend fails.
            BaseModelMismatch: If the version was made for another base model.
        """
        target = candidate if isinstance(candidate, Target) else self._resolve_target(candidate)
        forced = bool(target.adapter) and self.registry.require(self.agent, target.adapter).forced
        config = config or CanaryConfig()
        self._apply_move(
            lambda _, document: moves.stage_candidate(
                document, target, config, forced=forced, doubts=doubts
            )
        )
        if backend is not None and target.adapter is not None:
            self._prove_backend(backend, target.adapter)
        self._apply_move(self._first_step)
        return self.status()

    def observe(self) -> dict[str, Json]:
        """Read new outcomes of threads, make the moves that follow, and return the status."""
        document = self.document()
        if document.state in ("CANARY", "PAUSED", "PROMOTED") and document.config.decides:
            seen, cursor_ns = self._read_threads(document)
            self._apply_move(
                lambda connection, now: self._evaluate_threads(connection, now, seen, cursor_ns)
            )
        found = self.reconcile()
        return {**self.status(), **({"backends": found} if found else {})}

    def reconcile(self) -> list[dict[str, Json]]:
        """Load versions that backends lost, unload retired ones; return what was done or failed."""
        return self._reconciler.reconcile()

    def record(
        self,
        thread_id: str,
        success: bool,
        *,
        breaches: Mapping[str, bool] | None = None,
        arm: Arm | None = None,
    ) -> dict[str, Json]:
        """Record the outcome of a thread by hand; the first record counts. Return the status.

        Args:
            thread_id: The thread.
            success: Its outcome.
            breaches: Guard metrics that it breached.
            arm: Its arm; by default the arm of its id now.
        """
        now_ns = time.time_ns()

        def evaluate(connection: Connection, document: RolloutDocument) -> RolloutDocument:
            belongs = assign(thread_id, document.salt, document.share_now)
            seen = ObservedThread(
                thread=thread_id,
                started_ns=now_ns,
                assigned_ns=now_ns,
                arm=arm or ("canary" if belongs else "stable"),
                success=success,
                breaches=dict(breaches or {}),
                running=False,
            )
            return self._evaluate_threads(connection, document, [seen], 0)

        self._apply_move(evaluate)
        return self.status()

    def advance(self) -> dict[str, Json]:
        """Take the next step by hand, or continue after a pause; return the status.

        Raises:
            CanaryError: If no further step or no rollout exists.
        """

        def move(_: object, document: RolloutDocument) -> RolloutDocument:
            if document.state == "PAUSED":
                return moves.take_step(document, document.step, "gone on by hand")
            if document.state != "CANARY" or document.step + 2 >= len(document.config.steps):
                raise self._refuse_move("advance", document, "a canary before its last step")
            return moves.take_step(document, document.step + 1, "by hand")

        self._apply_move(move)
        return self.status()

    def promote(self, force: bool = False) -> dict[str, Json]:
        """Promote the candidate to all threads; return the status.

        Args:
            force: Promote without enough evidence; recorded in the audit trail.

        Raises:
            CanaryError: If no canary runs, or the evidence is not enough.
        """

        def move(connection: Connection, document: RolloutDocument) -> RolloutDocument:
            if document.state not in ("CANARY", "PAUSED"):
                raise self._refuse_move("promote", document, "a canary")
            evaluator = self._load_evaluator(connection, document)
            evidence, config = evaluator.analysis.evidence(), document.config
            proven = evidence.not_worse >= 1 / config.alpha
            if not force and not (proven and evidence.threads["canary"] >= config.min_threads):
                raise CanaryError(
                    f"evidence for {document.adapter} is {evidence.not_worse:.3g} after "
                    f"{evidence.threads['canary']} canary threads",
                    f"{1 / config.alpha:.3g} and {config.min_threads} threads",
                    f"burnish canary promote {self.agent} --force",
                )
            moved = moves.promote_candidate(document, "by hand", forced=not proven)
            self._begin_phase(connection, moved)
            return moved

        self._apply_move(move)
        return self.status()

    def rollback(self, reason: str) -> dict[str, Json]:
        """Put all threads back on the previous version at once; return the status.

        Raises:
            CanaryError: If no rollout runs and none was promoted.
        """

        def move(_: object, document: RolloutDocument) -> RolloutDocument:
            if document.state not in (*RUNNING, "PROMOTED"):
                raise self._refuse_move("roll back", document, "a running or promoted rollout")
            return moves.roll_back(document, reason)

        self._apply_move(move)
        return self.status()

    def pause(self, reason: str = "by hand") -> dict[str, Json]:
        """Stop canary traffic without a decision; `advance` continues. Return the status.

        Raises:
            CanaryError: If no canary runs.
        """

        def move(_: object, document: RolloutDocument) -> RolloutDocument:
            if document.state != "CANARY":
                raise self._refuse_move("pause", document, "a canary")
            return moves.pause_rollout(document, reason)

        self._apply_move(move)
        return self.status()

    def document(self) -> RolloutDocument:
        """Return the current control document."""
        return msgspec.convert(self.store.read(self.agent)[0], RolloutDocument)

    def status(self) -> dict[str, Json]:
        """Return state, share, targets and evidence as plain data."""
        document = self.document()
        told = status.count_backend_events(self.store.audit(self.agent), document)
        if document.started_ns == 0:
            return status.describe_document(self.agent, document) | told
        with self.store.transaction(write=False) as connection:
            evaluator = self._load_evaluator(connection, document)
            counts = ThreadLedger(connection, document.phase_id).count_by_state()
        return status.describe_rollout(self.agent, document, evaluator, counts) | told

    def trail(self) -> list[dict[str, Json]]:
        """Return the evidence after each judged thread, in order, for charts."""
        document = self.document()
        if document.started_ns == 0:
            return []
        with self.store.transaction(write=False) as connection:
            ledger = ThreadLedger(connection, document.rollout)
            threads, (state, _) = ledger.list_threads("judged"), ledger.read_evaluator_state()
        return status.trace_evidence(document, threads, state)

    def in_service(self) -> list[str]:
        """Return the adapter versions that a backend must keep loaded now."""
        return [target.adapter or "" for target in moves.list_targets(self.document())]

    def _resolve_target(self, version: str) -> Target:
        manifest = self.registry.adapters.get(version)
        return Target(backend="embedded", base_model=manifest.base_model, adapter=version)

    def _prove_backend(self, backend: Backend, version: str) -> None:
        try:
            backend.load(version, self.registry.adapters.path(version))
            backend.probe(version)
        except BurnishError as problem:
            reason = f"could not be served: {problem.found}"
            self._apply_move(lambda _, document: moves.roll_back(document, reason))
            raise
        self._apply_move(lambda _, document: moves.mark_loaded(document, "served and proven"))

    def _first_step(self, connection: Connection, document: RolloutDocument) -> RolloutDocument:
        moved = moves.take_step(document, 0, "first step")
        self._begin_phase(connection, moved)
        return moved

    def _begin_phase(self, connection: Connection, document: RolloutDocument) -> None:
        stable = document.previous if document.state == "PROMOTED" else document.stable
        history = (0, 0)
        if document.config.decides:
            reader = ThreadReader(self.home, self.agent, document.config)
            history = reader.read_history(stable.adapter if stable else None)
        evaluator = PhaseEvaluator(document, history=history)
        ThreadLedger(connection, document.phase_id).begin_phase(
            self.agent, evaluator.state(), document.events[-1].at_ns
        )

    def _load_evaluator(self, connection: Connection, document: RolloutDocument) -> PhaseEvaluator:
        return PhaseEvaluator(
            document, ThreadLedger(connection, document.phase_id).read_evaluator_state()[0]
        )

    def _read_threads(self, document: RolloutDocument) -> tuple[list[ObservedThread], int]:
        """Return observed threads, and the time from which to read next."""
        with self.store.transaction(write=False) as connection:
            ledger = ThreadLedger(connection, document.phase_id)
            cursor_ns = ledger.read_evaluator_state()[1]
            done = ledger.list_done_threads()
        reader = ThreadReader(self.home, self.agent, document.config)
        seen = reader.read_threads(cursor_ns, document.adapter, done)
        waiting = [
            thread.started_ns
            for thread in seen
            if (thread.success is None or thread.running)
            and document.share_at(thread.assigned_ns) > 0.0
        ]
        newest = max((thread.started_ns for thread in seen), default=cursor_ns + _SLACK_NS)
        return seen, max(cursor_ns, min([*waiting, newest - _SLACK_NS]))

    def _evaluate_threads(
        self,
        connection: Connection,
        document: RolloutDocument,
        seen: list[ObservedThread],
        cursor_ns: int,
    ) -> RolloutDocument:
        """Store observed threads and evaluate the mature ones."""
        if document.state not in ("CANARY", "PAUSED", "PROMOTED"):
            return document
        ledger = ThreadLedger(connection, document.phase_id)
        state, kept_cursor_ns = ledger.read_evaluator_state()
        evaluator = PhaseEvaluator(document, state)
        evaluator.count_assignments(ledger.put_threads(_make_entries(seen, document)))
        now_ns, phase_id = time.time_ns(), document.phase_id
        for thread, becomes in evaluator.select_ready(
            list(ledger.list_threads("open")), document, now_ns
        ):
            if becomes == "missed":
                ledger.close_thread(thread, "missed")
                continue
            ledger.close_thread(thread, "judged", evaluator.judged)
            document = evaluator.take_outcome(thread, document)
            if document.phase_id != phase_id or document.state == "ROLLED_BACK":
                break
        else:
            document = evaluator.decide_move(document, now_ns)
        ledger.write_evaluator_state(evaluator.state(), max(cursor_ns, kept_cursor_ns))
        if document.phase_id != phase_id:
            self._begin_phase(connection, document)
        return document

    def _apply_move(
        self, move: Callable[[Connection, RolloutDocument], RolloutDocument]
    ) -> RolloutDocument:
        """Apply a move in one transaction, with its entry in the audit trail, and notify readers."""
        with self.store.transaction() as connection:
            raw, version = self.store.read_in(connection, self.agent)
            document = msgspec.convert(raw, RolloutDocument)
            moved = move(connection, document)
            if moved == document:
                return document
            moved = moves.retire_targets(document, moved)
            self.store.write_in(connection, self.agent, msgspec.to_builtins(moved), version)
            for event in moved.events[_count_shared_events(document, moved) :]:
                detail = {
                    "rollout": moved.rollout,
                    "candidate": moved.adapter,
                    "share": event.share,
                    "reason": event.reason,
                    "forced": moved.forced,
                }
                self.store.record_action(connection, self.agent, event.state.lower(), detail)
        self.store.notify_readers(self.agent)
        return moved

    def _refuse_move(self, what: str, document: RolloutDocument, expected: str) -> CanaryError:
        return CanaryError(
            f"cannot {what}: the rollout of {self.agent!r} is {document.state}",
            expected,
            f"burnish canary status {self.agent}",
        )


def _make_entries(seen: list[ObservedThread], document: RolloutDocument) -> list[Thread]:
    """Convert observed threads to ledger entries, without threads from before the rollout."""
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


def _count_shared_events(before: RolloutDocument, after: RolloutDocument) -> int:
    """Count the events that two documents share at their beginning."""
    return len(before.events) if before.rollout == after.rollout else 0
