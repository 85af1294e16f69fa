"""Evaluate the threads of a rollout in order of assignment, and make the moves that follow.

`PhaseEvaluator.take_outcome` adds one thread and makes the move. A thread is judged once it is mature:
when the time for outcomes is over. Every thread has one outcome, and every outcome gets one look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from burnish.canary import document as moves
from burnish.canary.analysis import Analysis
from burnish.canary.document import RolloutDocument
from burnish.canary.guards import list_guards
from burnish.canary.ledger import Thread, ThreadState
from burnish.canary.policy import Advice, RolloutPosition, advise_move
from burnish.records import Json

PATIENCE_S = 86400.0  # default wait for the outcome of a thread


class PhaseEvaluator:
    """Evidence and progress of one phase of a rollout.

    Args:
        document: The rollout.
        state: State of an earlier evaluator; None starts a new phase.
        history: Successes and threads of stable before the rollout.
    """

    def __init__(
        self,
        document: RolloutDocument,
        state: Mapping[str, Json] | None = None,
        *,
        history: tuple[int, int] = (0, 0),
    ) -> None:
        config = document.config
        if state is None:
            guards = list_guards(config.guards)
            self.analysis = Analysis(margin=config.margin, guards=guards, history=history)
        else:
            self.analysis = Analysis.restore(state["analysis"])
        self.judged: int = state["judged"] if state else 0
        self.on_step: int = state["on_step"] if state else 0

    def state(self) -> dict[str, Json]:
        """Return the whole state as plain data."""
        return {
            "analysis": self.analysis.state(),
            "judged": self.judged,
            "on_step": self.on_step,
        }

    def count_assignments(self, threads: list[Thread]) -> None:
        """Count new threads for the sample-ratio alarm."""
        for thread in threads:
            self.analysis.assigned(thread.arm, thread.share)

    def select_ready(
        self, threads: list[Thread], document: RolloutDocument, now_ns: int
    ) -> Iterator[tuple[Thread, ThreadState]]:
        """Yield the mature open threads in the order of assignment, with their new state.

        With a maturity time, a thread waits for its end even if its outcome is known; otherwise
        the arm that answers faster would be judged first.
        """
        wait_s = document.config.maturity_s
        for thread in threads:
            age_s = (now_ns - thread.assigned_ns) / 1e9
            if age_s < wait_s:
                return
            if thread.success is not None:
                yield thread, "judged"
            elif age_s > (wait_s or PATIENCE_S):
                yield thread, "missed"

    def take_outcome(self, thread: Thread, document: RolloutDocument) -> RolloutDocument:
        """Add the outcome of a thread and make the move that follows."""
        self.analysis.add(thread.arm, bool(thread.success), thread.share, thread.breaches)
        self.judged += 1
        self.on_step += thread.arm == "canary" and thread.share == document.share
        return self.decide_move(document, thread.assigned_ns)

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
            age_s=max(0.0, (now_ns - document.started_ns) / 1e9) if document.started_ns else 0.0,
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
