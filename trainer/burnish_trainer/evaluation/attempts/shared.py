"""Hold what all attempts of one evaluation share: tokens left, a pause that a server asked for, first states."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from burnish_trainer.evaluation.attempts.ended import AttemptResult

LONGEST_PAUSE_S = 900.0
"""Longest Retry-After that an evaluation waits for."""


@dataclass
class EvaluationState:
    """Shared facts of the attempts of one evaluation.

    Attributes:
        token_limit: Tokens after which no attempt starts; None means no limit.
        tokens: Tokens that the attempts have used, as the servers count them.
        first_states: Hash of the state in which the environment of a task opened first, by pool and task.
    """

    token_limit: int | None = None
    tokens: int = 0
    first_states: dict[tuple[str, str], str] = field(default_factory=dict)
    _paused_until: float = 0.0

    @property
    def used_up(self) -> bool:
        """Return True once the limit of tokens is reached."""
        return self.token_limit is not None and self.tokens >= self.token_limit

    def pause(self, seconds: float) -> None:
        """Let no attempt start and no retry begin for some seconds: the server asked for it."""
        until = time.monotonic() + min(seconds, LONGEST_PAUSE_S)
        self._paused_until = max(self._paused_until, until)

    @property
    def paused_s(self) -> float:
        """Return the seconds that are left of the pause; 0 without one."""
        return max(0.0, self._paused_until - time.monotonic())

    async def wait_for_server(self) -> None:
        """Wait until the pause is over."""
        if (left := self.paused_s) > 0:
            await asyncio.sleep(left)
            await self.wait_for_server()  # another refusal may have made it longer

    def compare_start(self, key: tuple[str, str], sha256: str | None) -> bool:
        """Return whether an environment starts as at the first attempt at its task; None is not compared.

        Args:
            key: Pool and task.
            sha256: Hash of its state right after it was opened.
        """
        return sha256 is None or self.first_states.setdefault(key, sha256) == sha256

    def remember_starts(self, results: Iterable[AttemptResult]) -> None:
        """Take the first states of environments from earlier results.

        Args:
            results: Results of attempts at the same tasks.
        """
        for result in results:
            if result.start_sha256 is not None:
                self.first_states.setdefault((result.pool, result.task_id), result.start_sha256)
