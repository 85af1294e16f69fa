"""Judges the open threads of a rollout in order and says where the rollout goes.

Knows: maturity, the order of assignment, one outcome a thread, a look after each.
Does not know: SQL, where outcomes come from, who is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from burnish.canary import document as moves
from burnish.canary.analysis import Analysis
from burnish.canary.document import Document
from burnish.canary.ledger import State as ThreadState
from burnish.canary.ledger import Thread
from burnish.canary.outcomes import guard_names
from burnish.canary.policy import Advice, Place, advise
from burnish.records import Json

PATIENCE_S = 86400.0  # how long a thread without an outcome is waited for where nothing else is set


class Judge:
    """What has been learnt in one phase of a rollout.

    Args:
        document: The rollout.
        state: What an earlier judge left; None begins anew.
        history: Successes and threads of stable before the rollout.
    """

    def __init__(
        self,
        document: Document,
        state: Mapping[str, Json] | None = None,
        *,
        history: tuple[int, int] = (0, 0),
    ) -> None:
        config = document.config
        if state is None:
            guards = guard_names(config.guards)
            self.analysis = Analysis(margin=config.margin, guards=guards, history=history)
        else:
            self.analysis = Analysis.restore(state["analysis"])
        self.judged: int = state["judged"] if state else 0
        self.on_step: int = state["on_step"] if state else 0

    def state(self) -> dict[str, Json]:
        """Everything, as plain data."""
        return {
            "analysis": self.analysis.state(),
            "judged": self.judged,
            "on_step": self.on_step,
        }

    def assigned(self, threads: list[Thread]) -> None:
        """Count threads for the sample-ratio alarm, as soon as they are seen."""
        for thread in threads:
            self.analysis.assigned(thread.arm, thread.share)

    def ready(
        self, threads: list[Thread], document: Document, now_ns: int
    ) -> Iterator[tuple[Thread, ThreadState]]:
        """Open threads whose turn it is, in the order of assignment, and what they become.

        Where outcomes are waited for, a thread's turn comes when that time is over, whether or
        not its outcome is there; else arms that answer faster would be judged first.
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

    def take(self, thread: Thread, document: Document) -> Document:
        """Take the outcome of a thread and make the move that follows."""
        self.analysis.add(thread.arm, bool(thread.success), thread.share, thread.breaches)
        self.judged += 1
        self.on_step += thread.arm == "canary" and thread.share == document.share
        return self.look(document, thread.assigned_ns)

    def look(self, document: Document, now_ns: int) -> Document:
        """The move that the evidence asks for; the same document if none."""
        if document.state not in ("CANARY", "PAUSED", "PROMOTED"):
            return document
        moved = self._moved(document, self.advice(document, now_ns))
        if moved.step != document.step or moved.state != document.state:
            self.on_step = 0
        return moved

    def advice(self, document: Document, now_ns: int) -> Advice:
        """What to do, and why."""
        place = Place(
            step=document.step,
            canary_on_step=self.on_step,
            age_s=max(0.0, (now_ns - document.started_ns) / 1e9) if document.started_ns else 0.0,
            promoted=document.state == "PROMOTED",
        )
        return advise(self.analysis.evidence(), place, document.config)

    def _moved(self, document: Document, advice: Advice) -> Document:
        if advice.move == "rollback":
            return moves.rolled_back(document, advice.reason)
        if document.state != "CANARY":
            return document
        if advice.move == "step":
            return moves.stepped(document, document.step + 1, advice.reason)
        if advice.move == "promote":
            return moves.promoted(document, advice.reason)
        if advice.move == "pause":
            return moves.paused(document, advice.reason)
        return document
