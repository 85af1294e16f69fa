"""Evaluate the threads of a rollout in order of assignment, and make the moves that follow.

`PhaseEvaluator.take_outcome` adds one thread and makes the move. A thread is judged once it is mature:
when the time for outcomes is over. Every thread counts once, with its outcome or as missing, and every
outcome gets one look. `judge_threads` applies a look to a phase and its ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from burnish.canary import document as moves
from burnish.canary.analysis import CANARY_FIRST_WEIGHT, FIRST_WEIGHT, Analysis
from burnish.canary.document import RolloutDocument
from burnish.canary.guards import list_guards
from burnish.canary.ledger import Thread, ThreadLedger, ThreadState
from burnish.canary.maturity import FLOOR_S, learn_window
from burnish.canary.policy import Advice, RolloutPosition, advise_move
from burnish.records import Json

if TYPE_CHECKING:
    from burnish.canary.outcomes import Look, ObservedThread

PATIENCE_S = 86400.0  # longest wait for the outcome of a thread where no window is set
_ANSWERED = 600  # judged threads that a shorter wait is learnt from


class PhaseEvaluator:
    """Evidence and progress of one phase of a rollout.

    Args:
        document: The rollout.
        state: State of an earlier evaluator; None starts a new phase.
        history: Successes and threads of stable before the rollout.
        users: Threads and successes by arm of the users so far (see `UserClusters`).
    """

    def __init__(
        self,
        document: RolloutDocument,
        state: Mapping[str, Json] | None = None,
        *,
        history: tuple[int, int] = (0, 0),
        users: Mapping[str, Sequence[int]] = {},
    ) -> None:
        config = document.config
        if state is None:
            self.analysis = Analysis(
                margin=config.margin,
                guards=list_guards(config.guards),
                history=history,
                first=FIRST_WEIGHT if document.state == "PROMOTED" else CANARY_FIRST_WEIGHT,
            )
        else:
            self.analysis = Analysis.restore(state["analysis"], users)
        known = state or {}
        self.judged: int = known.get("judged", 0)
        self.closed: int = known.get("closed", self.judged)  # judged, late and missing threads
        self.on_step: int = known.get("on_step", 0)
        self.corrected: int = known.get("corrected", 0)  # outcomes that changed after their look
        self.window_s: float | None = known.get("window_s")
        self.window_basis: str = known.get("window_basis", "")
        self._seen_after: dict[str, float] = {}

    def state(self) -> dict[str, Json]:
        """Return the whole state as plain data."""
        return {
            "analysis": self.analysis.state(),
            "judged": self.judged,
            "closed": self.closed,
            "on_step": self.on_step,
            "corrected": self.corrected,
            "window_s": self.window_s,
            "window_basis": self.window_basis,
        }

    def count_assignments(self, threads: list[Thread]) -> None:
        """Count new threads for the sample-ratio alarm."""
        for thread in threads:
            self.analysis.assigned(thread.arm, thread.share)

    def find_window(
        self, threads: Sequence[Thread], document: RolloutDocument, now_ns: int
    ) -> float | None:
        """Return the maturity window: set, learnt before the rollout, or learnt from these threads.

        None means that too few outcomes of stable are known; then no thread is judged.
        """
        if document.maturity_s is not None:
            return document.maturity_s
        if document.config.decides is None:
            return 0.0  # outcomes are recorded by hand
        if self.window_s is None:
            learned = learn_window(self._measure_delays(threads, now_ns))
            if learned is not None:
                self.window_s, self.window_basis = learned.seconds, learned.basis
        return self.window_s

    def _measure_delays(
        self, threads: Sequence[Thread], now_ns: int
    ) -> Iterator[tuple[float, float | None]]:
        for thread in threads:
            if thread.arm != "stable":
                continue
            age_s = _seconds(thread.assigned_ns, now_ns)
            if thread.success is None:
                yield age_s, None
            elif thread.reported_ns is not None:
                yield age_s, _seconds(thread.assigned_ns, thread.reported_ns)
            else:  # the look that finds an outcome bounds its delay
                yield age_s, self._seen_after.setdefault(thread.thread, age_s)

    def select_ready(
        self,
        threads: list[Thread],
        document: RolloutDocument,
        now_ns: int,
        answered: Sequence[Thread] = (),
    ) -> Iterator[tuple[Thread, ThreadState]]:
        """Yield the mature open threads in the order of assignment, with their new state.

        With a maturity window, a thread waits for its end even if its outcome is known; otherwise
        the arm that answers faster would be judged first. A thread without an outcome at that end
        is counted as missing, also if its outcome came after the end and before this look. With a
        window of 0 it is missing once the outcomes of much later threads are known, or after a day.

        Args:
            threads: The open threads in the order of assignment.
            document: The rollout.
            now_ns: Time of the look.
            answered: Threads that were judged before, with the times of their outcomes.
        """
        wait_s = self.find_window(threads, document, now_ns)
        if wait_s is None:
            return
        passed_by_ns = 0 if wait_s else _find_passed_by([*answered, *threads])
        for thread in threads:
            age_s = _seconds(thread.assigned_ns, now_ns)
            if age_s < wait_s:
                return
            if thread.success is None:
                if age_s > (wait_s or PATIENCE_S) or thread.assigned_ns < passed_by_ns:
                    self._take_missing(thread)
                    yield thread, "missed"
            elif wait_s and _is_late(thread, wait_s):
                self._take_missing(thread)
                yield thread, "late"
            else:
                self.closed += 1
                yield thread, "judged"

    def _take_missing(self, thread: Thread) -> None:
        self.closed += 1
        self.analysis.add_missing(thread.arm, thread.share, thread.open_breaches)

    def take_outcome(self, thread: Thread, document: RolloutDocument) -> RolloutDocument:
        """Add the outcome of a thread and make the move that follows."""
        self.analysis.add(
            thread.arm,
            bool(thread.success),
            thread.share,
            thread.open_breaches,
            user=thread.user,
        )
        self.judged += 1
        self.on_step += thread.arm == "canary" and thread.share == document.share
        return self.decide_move(document, thread.assigned_ns)

    def replay(self, threads: Iterable[Thread]) -> None:
        """Compute the evidence on outcomes again from the closed threads; guards and shares stay.

        Args:
            threads: All closed threads of the phase, in the order of evaluation.
        """
        self.analysis.clear_outcomes()
        self.judged = self.closed = 0
        for thread in threads:
            self.closed += 1
            if thread.state == "judged":
                self.judged += 1
                self.analysis.add(thread.arm, bool(thread.success), thread.share, user=thread.user)
            else:
                self.analysis.add_missing(thread.arm, thread.share)

    def decide_move(self, document: RolloutDocument, now_ns: int) -> RolloutDocument:
        """Make the move that the evidence requires; return the same document if none."""
        if document.state not in ("CANARY", "PAUSED", "PROMOTED"):
            return document
        moved = self._apply_advice(document, self.advise_move(document, now_ns))
        if moved.step != document.step or moved.state != document.state:
            self.on_step = 0
        return moved

    def advise_move(self, document: RolloutDocument, now_ns: int) -> Advice:
        """Return the next move and its reason."""
        position = RolloutPosition(
            step=document.step,
            canary_on_step=self.on_step,
            age_s=_seconds(document.started_ns, now_ns) if document.started_ns else 0.0,
            promoted=document.state == "PROMOTED",
        )
        return advise_move(self.analysis.evidence(), position, document.config)

    def _apply_advice(self, document: RolloutDocument, advice: Advice) -> RolloutDocument:
        if advice.move == "rollback":
            return moves.roll_back(document, advice.reason)
        if document.state != "CANARY":
            return document
        if advice.move == "step":
            return moves.take_step(document, document.step + 1, advice.reason)
        if advice.move == "promote":
            return moves.promote_candidate(document, advice.reason)
        if advice.move == "pause":
            return moves.pause_rollout(document, advice.reason)
        return document


def judge_threads(
    ledger: ThreadLedger,
    evaluator: PhaseEvaluator,
    document: RolloutDocument,
    look: Look,
    *,
    revise: bool = True,
) -> RolloutDocument:
    """Store the threads of a look, evaluate the mature ones, and make the moves that follow.

    Args:
        ledger: The threads of the phase.
        evaluator: Its evidence.
        document: The rollout.
        look: The observations.
        revise: Let a new outcome replace that of a thread that was judged.
    """
    _store_threads(ledger, evaluator, document, look, revise=revise)
    phase_id, opened = document.phase_id, list(ledger.list_threads("open"))
    waiting = any(thread.success is None for thread in opened)
    answered = ledger.list_answered(_ANSWERED) if waiting else ()
    for thread, becomes in evaluator.select_ready(opened, document, look.now_ns, answered):
        ledger.close_thread(thread, becomes, evaluator.closed, look.now_ns)
        if becomes != "judged":
            continue
        document = evaluator.take_outcome(thread, document)
        if document.phase_id != phase_id or document.state == "ROLLED_BACK":
            break
    else:
        document = evaluator.decide_move(document, look.now_ns)
    ledger.write_evaluator_state(evaluator.state())
    if evaluator.window_s is not None and document.window_s is None:
        document = moves.keep_window(document, evaluator.window_s, evaluator.window_basis)
    return document


def _store_threads(
    ledger: ThreadLedger,
    evaluator: PhaseEvaluator,
    document: RolloutDocument,
    look: Look,
    *,
    revise: bool,
) -> None:
    """Store observed threads, and count what needs no outcome: assignments and breaches of guards."""
    others = ledger.list_threads_of_other_phases(document.rollout)
    seen = [thread for thread in look.seen if thread.thread not in others]
    update = ledger.put_threads([_make_entry(thread, look) for thread in seen], revise=revise)
    evaluator.count_assignments(update.entered)
    evaluator.corrected += update.corrected
    reopened = ledger.reopen_missed(look.now_ns) if look.set_back else 0
    if update.corrected or reopened:
        evaluator.replay(ledger.list_closed_threads())
    for thread in seen:
        if not thread.running and ledger.mark_guarded(thread.thread):
            evaluator.analysis.add_breaches(thread.arm, thread.share, thread.breaches)


def _make_entry(thread: ObservedThread, look: Look) -> Thread:
    """Convert an observed thread to a ledger entry, with times by the clock of the looks."""
    assigned_ns = look.clamp(thread.assigned_ns)
    reported_ns = None if thread.reported_ns is None else look.clamp(thread.reported_ns)
    return Thread(
        thread=thread.thread,
        assigned_ns=assigned_ns,
        arm=thread.arm,
        share=thread.share,
        success=None if thread.running else thread.success,
        reported_ns=reported_ns,
        breaches=thread.breaches,
        user=thread.user,
    )


def _find_passed_by(threads: Iterable[Thread]) -> int:
    """Return the time before which a thread without an outcome was passed by: later ones have theirs.

    The newest outcome is the clock, so that a source that pauses loses no thread. The wait before it
    is learnt from the delays of stable; 0 until enough of them are known.
    """
    known = [thread for thread in threads if thread.success is not None and thread.reported_ns]
    newest_ns = max((thread.reported_ns or 0 for thread in known), default=0)
    delays = [
        _seconds(thread.assigned_ns, thread.reported_ns or 0)
        for thread in known
        if thread.arm == "stable"
    ]
    learned = learn_window((inf, delay) for delay in delays)
    if learned is None:
        return 0
    return newest_ns - int(max(FLOOR_S, learned.seconds) * 1e9)


def _is_late(thread: Thread, wait_s: float) -> bool:
    """Return True if the outcome came after the thread's window."""
    return (
        thread.reported_ns is not None and _seconds(thread.assigned_ns, thread.reported_ns) > wait_s
    )


def _seconds(begin_ns: int, end_ns: int) -> float:
    return max(0.0, (end_ns - begin_ns) / 1e9)
