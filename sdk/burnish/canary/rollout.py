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
from burnish.adapters.prompt_store import PromptStore
from burnish.adapters.registry import Registry
from burnish.canary import document as moves
from burnish.canary import status
from burnish.canary.assignment import Arm, assign
from burnish.canary.document import RUNNING, RolloutDocument, name_target
from burnish.canary.evaluator import PhaseEvaluator, judge_threads
from burnish.canary.ledger import ThreadLedger, make_storable
from burnish.canary.maturity import FLOOR_S, MIN_OUTCOMES, learn_window
from burnish.canary.outcomes import (
    Look,
    ObservedThread,
    ReadingPosition,
    ThreadReader,
    read_position,
    write_position,
)
from burnish.canary.policy import must_restart
from burnish.canary.reconciler import Reconciler
from burnish.errors import BurnishError, CanaryError
from burnish.project import CanaryConfig, check_steps
from burnish.protocols import Backend
from burnish.records import Json

if TYPE_CHECKING:
    from sqlalchemy import Connection


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
        self.prompts = PromptStore(self.home)
        self._reconciler = Reconciler(self.home, agent, store=self.store)

    def start(
        self,
        candidate: Target | str,
        config: CanaryConfig | None = None,
        *,
        backend: Backend | None = None,
        doubts: Sequence[str] = (),
        proven: bool = False,
    ) -> dict[str, Json]:
        """Send a candidate its first share of threads.

        Args:
            candidate: An adapter version, or a target that names its backend too.
            config: Canary settings; defaults as in docs/burnish.toml.
            backend: Backend that loads and probes the version before any traffic.
            doubts: Why the deciding source may be unreliable; stored, and shown in the status.
            proven: Start at once: the backend serves the version and has answered the probe.

        Returns:
            The status.

        Raises:
            RegistryError: If the version has no evaluation report or did not pass the gate.
            SettingsError: If the steps leave no threads to compare with.
            CanaryError: If another rollout runs, the version already serves, or no maturity window
                is set and none can be learnt.
            ServingError: If the probe of the backend fails.
            BaseModelMismatch: If the version was made for another base model.
        """
        target = candidate if isinstance(candidate, Target) else self._resolve_target(candidate)
        forced = self._require_candidate(target)
        config = config or CanaryConfig()
        check_steps(config, f"the canary of {self.agent!r}", "pass other steps")
        window = self.find_window(config)
        self._mark_position()

        def stage(_: object, document: RolloutDocument) -> RolloutDocument:
            return moves.stage_candidate(
                document, target, config, forced=forced, doubts=doubts, window=window
            )

        if proven:
            self._apply_move(lambda c, d: self._first_step(c, moves.mark_loaded(stage(c, d))))
            return self.status()
        self._apply_move(stage)
        if backend is not None and target.adapter is not None:
            self._prove_backend(backend, target.adapter)
        self._apply_move(self._first_step)
        return self.status()

    def observe(self) -> dict[str, Json]:
        """Read new outcomes of threads, make the moves that follow, and return the status."""
        document = self.document()
        if document.state in ("CANARY", "PAUSED", "PROMOTED") and document.config.decides:
            look, after = self._read_journal(document)
            if self._apply_look(look, document.phase_id):
                write_position(self.home, self.agent, after)
        found = self.reconcile()
        return {**self.status(), **({"backends": found} if found else {})}

    def find_window(self, config: CanaryConfig) -> tuple[float | None, str]:
        """Return the maturity window that a canary would start with, and where it comes from.

        Raises:
            CanaryError: If none is set, and too few outcomes of stable are known to learn it.
        """
        if config.maturity_s is not None:
            return None, "set as maturity_s"
        if config.decides is None:
            return None, "outcomes are recorded by hand"
        stable = self.document().stable
        reader = ThreadReader(self.home, self.agent, config)
        delays = reader.read_delays(stable.adapter if stable else None)
        if delays.by_verdict:
            return 0.0, "verdicts of a verifier are given in the order of the runs"
        learned = learn_window(delays.threads)
        if learned is not None:
            return max(FLOOR_S, learned.seconds), learned.basis
        known = sum(delay is not None for _, delay in delays.threads)
        raise CanaryError(
            f"no maturity window for {config.decides!r}: {known} of stable's "
            f"{len(delays.threads)} runs have an outcome from it",
            f"maturity_s in [agent.{self.agent}.canary], or {MIN_OUTCOMES} outcomes of stable "
            f"whose time is over, from which burnish learns it",
            f"set maturity_s to the seconds after which nearly all outcomes are known (0: they come "
            f"with the run), or report them with burnish.outcome(source={config.decides!r}, ...); "
            f"then burnish retrain {self.agent}",
        )

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
        """Record the outcome of a thread manually; the first record counts. Return the status.

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
                thread=make_storable(thread_id),
                assigned_ns=now_ns,
                arm=arm or ("canary" if belongs else "stable"),
                share=document.share_now,
                success=success,
                reported_ns=now_ns,
                breaches=dict(breaches or {}),
                running=False,
            )
            look = Look([seen], ReadingPosition(), now_ns)
            return self._evaluate_threads(connection, document, look, revise=False)

        self._apply_move(evaluate)
        return self.status()

    def advance(self) -> dict[str, Json]:
        """Take the next step manually, or continue after a pause; return the status.

        After a pause because the arms could not be compared, the evidence starts again.

        Raises:
            CanaryError: If no further step or no rollout exists.
        """

        def move(connection: Connection, document: RolloutDocument) -> RolloutDocument:
            if document.state == "PAUSED":
                return self._continue_rollout(connection, document)
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
            proven = evidence.not_worse >= 1 / config.alpha and not must_restart(evidence, config)
            if not force and not (proven and evidence.threads["canary"] >= config.min_threads):
                raise CanaryError(
                    f"evidence for {name_target(document.candidate)} is {evidence.not_worse:.3g} after "
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
            arms = ThreadLedger(connection, document.phase_id).count_by_arm()
            found = status.describe_rollout(self.agent, document, evaluator, arms) | told
            canary = moves.view_canary_phase(document)
            if canary is not None:
                evaluator = self._load_evaluator(connection, canary)
                arms = ThreadLedger(connection, canary.phase_id).count_by_arm()
                found["canary"] = status.describe_threads(evaluator, arms)
        return found

    def trail(self) -> list[dict[str, Json]]:
        """Return the evidence after each judged thread of the newest canary, in order, for charts."""
        document = self.document()
        if document.started_ns == 0:
            return []
        with self.store.transaction(write=False) as connection:
            ledger = ThreadLedger(connection, moves.find_canary_phase(document))
            threads, state = ledger.list_threads("judged"), ledger.read_evaluator_state()
        return status.trace_evidence(threads, state)

    def in_service(self) -> list[str]:
        """Return the adapter versions that a backend must keep loaded now."""
        return [target.adapter or "" for target in moves.list_targets(self.document())]

    def _require_candidate(self, target: Target) -> bool:
        """Refuse a version that may not serve; return True if it serves against the gate."""
        if target.prompt is not None:
            self.prompts.get(target.prompt)
        elif target.adapter is None:
            return False
        return self.registry.require(self.agent, target.adapter, prompt=target.prompt).forced

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
        self._apply_move(lambda _, document: moves.mark_loaded(document))

    def _first_step(self, connection: Connection, document: RolloutDocument) -> RolloutDocument:
        moved = moves.take_step(document, 0, "first step")
        self._begin_phase(connection, moved)
        return moved

    def _continue_rollout(
        self, connection: Connection, document: RolloutDocument
    ) -> RolloutDocument:
        """Continue after a pause; in a new phase if the evidence cannot be used."""
        evidence = self._load_evaluator(connection, document).analysis.evidence()
        if not must_restart(evidence, document.config):
            return moves.take_step(document, document.step, "continued manually")
        moved = moves.restart_phase(document)
        moved = moves.take_step(moved, moved.step, "continued manually, with new evidence")
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
        ledger = ThreadLedger(connection, document.phase_id)
        return PhaseEvaluator(document, ledger.read_evaluator_state(), users=ledger.count_users())

    def _mark_position(self) -> None:
        """Store the end of the journal, so that the first look reads only later events."""
        reader = ThreadReader(self.home, self.agent, CanaryConfig())
        position = ReadingPosition(segments=reader.find_end(), looked_ns=time.time_ns())
        write_position(self.home, self.agent, position)

    def _read_journal(self, document: RolloutDocument) -> tuple[Look, ReadingPosition]:
        """Return the threads with news since the last look, and the position after them."""
        before, now_ns = read_position(self.home, self.agent), time.time_ns()
        reader = ThreadReader(self.home, self.agent, document.config)
        changed, segments = reader.find_changed_threads(before.segments)
        canary = moves.view_canary_phase(document)
        phases = [document] if canary is None else [document, canary]
        seen = reader.read_phases(changed | set(before.running), phases)
        running = {thread.thread for several in seen for thread in several if thread.running}
        after = ReadingPosition(segments=segments, looked_ns=now_ns, running=sorted(running))
        return Look(seen[0], before, now_ns, seen[1] if canary else ()), after

    def _apply_look(self, look: Look, phase_id: str) -> bool:
        """Evaluate a look and make the moves that follow.

        Return False if another process has begun a new phase since the journal was read: what was
        read may hold threads of that phase, so it is read again.
        """
        applied = False

        def evaluate(connection: Connection, document: RolloutDocument) -> RolloutDocument:
            nonlocal applied
            applied = document.phase_id == phase_id
            return self._evaluate_threads(connection, document, look) if applied else document

        self._apply_move(evaluate)
        return applied

    def _evaluate_threads(
        self,
        connection: Connection,
        document: RolloutDocument,
        look: Look,
        *,
        revise: bool = True,
    ) -> RolloutDocument:
        """Store observed threads, evaluate the mature ones, and begin the phase that may follow."""
        if document.state not in ("CANARY", "PAUSED", "PROMOTED"):
            return document
        canary = moves.view_canary_phase(document)
        if canary is not None:
            moved = self._follow_canary(connection, document, canary, look)
            if moved.state != document.state:
                return moved
        ledger = ThreadLedger(connection, document.phase_id)
        evaluator = self._load_evaluator(connection, document)
        moved = judge_threads(ledger, evaluator, document, look, revise=revise)
        if moved.phase_id != document.phase_id:
            self._begin_phase(connection, moved)
        return moved

    def _follow_canary(
        self,
        connection: Connection,
        document: RolloutDocument,
        canary: RolloutDocument,
        look: Look,
    ) -> RolloutDocument:
        """Evaluate what became known of the canary's threads after the promotion.

        Their outcomes may still come, or change. The evidence continues where it was, and may still roll back.
        """
        ledger = ThreadLedger(connection, canary.phase_id)
        if not look.earlier and not ledger.list_threads("open"):
            return document
        evaluator = self._load_evaluator(connection, canary)
        served = msgspec.structs.replace(canary, state="PROMOTED")
        earlier = look._replace(seen=list(look.earlier))
        moved = judge_threads(ledger, evaluator, served, earlier)
        return moved if moved.state == "ROLLED_BACK" else document

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
            for event in moves.list_new_events(document, moved):
                detail = {
                    "rollout": moved.rollout,
                    "candidate": moved.adapter,
                    **({"prompt": moved.prompt} if moved.prompt else {}),
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
