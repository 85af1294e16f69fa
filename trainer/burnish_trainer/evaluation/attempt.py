"""What an attempt needs while it runs: its seeds, its limit of model calls, the errors of its backend.

An error of the infrastructure (a server that does not answer, refuses the token, is overloaded, lost an adapter) says
nothing about the adapter. It is told apart from what the agent or the model did wrong by `infrastructure_error`.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler

from burnish.errors import BackendUnavailable, EvaluationError, UnknownAdapter
from burnish.serving.endpoint import error_status

_SEEDS = 2**31 - 1  # servers take signed 32-bit seeds
_DEEPEST = 20
_PASSING_STATUSES = frozenset({401, 403, 404, 408, 409, 425, 429})
_CLIENTS = frozenset({"openai", "httpx", "httpx2", "httpcore", "httpcore2"})
_BROKEN = ("Connection", "Timeout", "Transport", "Network", "Protocol", "ReadError", "ConnectError")

_seeds: ContextVar[Iterator[int] | None] = ContextVar("burnish_attempt_seeds", default=None)


@contextmanager
def seeded(seed: int, task_id: str, attempt: int) -> Iterator[None]:
    """Give the model calls inside seeds of their own.

    Servers seed each request by its seed alone: one seed for all tasks would give all runs the same random numbers.

    Args:
        seed: Of the whole evaluation.
        task_id: The task.
        attempt: The attempt at it.
    """
    key = f"{seed}:{attempt}:{task_id}"
    token = _seeds.set(_derive(f"{key}:{call}") for call in itertools.count())
    try:
        yield
    finally:
        _seeds.reset(token)


def next_seed() -> int | None:
    """The seed of the next model call of the running attempt; None outside of one."""
    seeds = _seeds.get()
    return None if seeds is None else next(seeds)


def _derive(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") % _SEEDS


class AttemptWatch(BaseCallbackHandler):
    """Ends a run that asks the model more often than allowed, and notes what its backend failed at.

    Args:
        most: Model calls that are allowed.
    """

    raise_error = True
    run_inline = True

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self.fault: str | None = None

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        """Count a call."""
        self._left -= 1
        if self._left < 0:
            raise EvaluationError(
                f"the agent asked the model more than {self._most} times",
                "an answer within max_steps",
                "raise max_steps in [agent.NAME.evaluate] of burnish.toml",
            )

    def on_llm_end(self, *_: Any, **__: Any) -> None:
        """A later call was answered: the agent got over the error."""
        self.fault = None

    def on_llm_error(self, error: BaseException, *_: Any, **__: Any) -> None:
        """Note an error of the backend, also one that the agent hides."""
        self.fault = infrastructure_error(error) or self.fault


def infrastructure_error(error: BaseException) -> str | None:
    """The error of the infrastructure behind an exception, as a line; None if it is the agent's or the model's own.

    Args:
        error: What was raised; its causes and the members of a group are looked at too.
    """
    found = next((one for one in _chain(error) if _is_infrastructure(one)), None)
    return None if found is None else f"{type(found).__name__}: {str(found)[:200]}"


def _is_infrastructure(error: BaseException) -> bool:
    if isinstance(error, BackendUnavailable | UnknownAdapter):
        return True
    package = type(error).__module__.partition(".")[0]
    if package not in _CLIENTS:
        return False
    status = error_status(error)
    if status is not None:
        return status >= 500 or status in _PASSING_STATUSES
    return any(word in type(error).__name__ for word in _BROKEN)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, its causes, and the members of groups, each once."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _DEEPEST:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
