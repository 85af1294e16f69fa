"""Give the attempts of an arm its prompt version, and refuse an agent that never asks for it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from burnish.adapters.prompt_store import PromptVersion
from burnish.errors import EvaluationError
from burnish.langchain.given_prompts import give_prompts
from burnish_trainer.evaluation.attempts.ended import EndedAttempt

_ENOUGH = 8  # attempts after which an agent would have asked


class PromptUses:
    """Counts which prompts the agent asked for.

    Args:
        agent: Name of the agent.
        version: The version that answers; None is the agent's own prompts.
    """

    def __init__(self, agent: str, version: PromptVersion | None) -> None:
        self._agent, self._version = agent, version
        self._asked: set[str] = set()
        self._made = 0

    @contextmanager
    def give(self) -> Generator[None]:
        """Answer the agent's questions for a prompt inside the block."""
        with give_prompts({self._agent: self._version}) as given:
            try:
                yield
            finally:
                self._asked |= {name for agent, name in given.asked if agent == self._agent}

    def count_attempt(self, ended: EndedAttempt) -> None:
        """Count an attempt.

        Raises:
            EvaluationError: Enough attempts were made, and the agent asked for none of the version's prompts.
        """
        self._made += ended.recorded
        if self._made == _ENOUGH:
            self.require_use()

    def require_use(self) -> None:
        """Refuse a version whose prompts the agent never asked for: all arms would be the same.

        Raises:
            EvaluationError: Attempts were made, and none asked.
        """
        if self._version is None or not self._made or self._asked & self._version.texts.keys():
            return
        names = ", ".join(sorted(self._version.texts))
        asked = ", ".join(sorted(self._asked)) or "none"
        raise EvaluationError(
            f"{self._made} attempts of agent {self._agent!r} asked for none of the prompts of {self._version.id}: "
            f"it holds {names}, they asked for {asked}",
            f'an agent that calls burnish.prompt("{self._agent}", ...) or has RoutingMiddleware',
            "see docs/prompts.md",
        )
