"""Grade attempts in a thread beside those that still run.

How it works: the thread takes what has ended since its last round, at most a few times a second, and writes each result
to the log. Attempts without a verdict are graded once more at the end, because facts may be reported after a run.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from burnish.protocols import Verifier
from burnish_trainer.evaluation.agent_project import AgentProject
from burnish_trainer.evaluation.attempts.attempt_log import AttemptLog
from burnish_trainer.evaluation.attempts.ended import AttemptKey, AttemptResult, EndedAttempt
from burnish_trainer.evaluation.grading import AttemptGrader

_ROUND_S = 0.3


class LiveGrader:
    """Grades the attempts of an arm while others run.

    Args:
        subject: The agent.
        log: Gets each attempt and its result.
        advance: Called after each result with a short text.
        verifiers: By default those that adapters are proven by.

    Attributes:
        results: The results, by pool, task and attempt; complete after the block.
        unstable: Verdicts that differed when a sample was graded again; known after the block.
    """

    def __init__(
        self,
        subject: AgentProject,
        log: AttemptLog,
        advance: Callable[[str], None] = lambda _: None,
        verifiers: Sequence[Verifier] | None = None,
    ) -> None:
        self.results: dict[AttemptKey, AttemptResult] = {}
        self.unstable: list[Any] = []
        self._subject, self._log, self._advance = subject, log, advance
        self._verifiers = verifiers
        self._queue: queue.SimpleQueue[EndedAttempt | None] = queue.SimpleQueue()
        self._undecided: list[EndedAttempt] = []
        self._problem: BaseException | None = None
        self._over = threading.Event()  # the attempts are
        self._thread = threading.Thread(target=self._run, name="burnish-grading", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the last verdict; raise what ended the grading, unless the attempts have raised already."""
        self._queue.put(None)
        self._over.set()
        self._thread.join()
        if error is None and self._problem is not None:
            raise self._problem

    def add(self, attempt: EndedAttempt) -> None:
        """Queue an attempt that has just ended.

        Raises:
            BurnishError: The grading has failed; further attempts would be made in vain.
        """
        self._log.add_ended(attempt)
        self.add_logged(attempt)

    def add_logged(self, attempt: EndedAttempt) -> None:
        """Queue an attempt that the log already holds."""
        if self._problem is not None:
            raise self._problem
        self._queue.put(attempt)

    def _run(self) -> None:
        try:
            with AttemptGrader(self._subject, self._verifiers) as grader:
                self._grade_all(grader)
                self.unstable = grader.find_unstable()
        except BaseException as problem:  # noqa: BLE001 - raised in the thread of the evaluation
            self._problem = problem

    def _grade_all(self, grader: AttemptGrader) -> None:
        """Grade rounds until the attempts are over."""
        over = False
        while not over:
            batch, over = self._take_batch()
            self._keep(batch, grader.grade(batch), last=False)
            if not over:
                self._over.wait(_ROUND_S)
        self._keep(self._undecided, grader.grade(self._undecided), last=True)

    def _take_batch(self) -> tuple[list[EndedAttempt], bool]:
        """Wait for an attempt and take all that have ended; the flag tells that no more will come."""
        batch: list[EndedAttempt] = []
        one = self._queue.get()
        while one is not None:
            batch.append(one)
            try:
                one = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _keep(
        self, batch: Sequence[EndedAttempt], results: Sequence[AttemptResult], *, last: bool
    ) -> None:
        """Keep results; those without a verdict wait for the end."""
        for attempt, result in zip(batch, results, strict=True):
            if not last and result.label == "unknown" and result.final:
                self._undecided.append(attempt)
                continue
            self.results[result.key] = result
            self._log.add_results([result])
            self._advance("" if attempt.error is None else attempt.error[:40])
