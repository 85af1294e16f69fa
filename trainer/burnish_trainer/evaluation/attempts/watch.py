"""Provide an attempt with its seeds, its limit of model calls, its tokens, and the errors of its backend.

An infrastructure error (a server that does not answer, refuses the token, is overloaded, lost an
adapter, sends something else than a completion) says nothing about the adapter. `infrastructure_error`
distinguishes it from faults of the agent or the model: an error is one if nothing that the model wrote
can cause it. A refusal of a request for its content (400) is none, because a model's own words make
the later requests; that of the first request is kept as `refusal`, because they do not make that one.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler

from burnish.errors import BackendUnavailable, BurnishError, EvaluationError, UnknownAdapter
from burnish.serving.remote.endpoint import blames_request, error_status
from burnish_trainer.evaluation.attempts.world import EnvironmentFault

_SEEDS = 2**31 - 1  # servers take signed 32-bit seeds
_DEEPEST = 20
_SHOWN = 240  # characters of an error, so that the server's words are among them
_TRANSPORTS = frozenset({"httpx", "httpx2", "httpcore", "httpcore2"})
_BROKEN = (
    "Connection", "Timeout", "Transport", "Network", "Protocol", "ReadError", "ConnectError",
    "Decoding", "TooManyRedirects",
)  # fmt: skip

_seeds: ContextVar[Iterator[int] | None] = ContextVar("burnish_attempt_seeds", default=None)


@contextmanager
def seed_calls(seed: int, task_id: str, attempt: int) -> Generator[None]:
    """Give each model call inside the block its own seed.

    Servers seed each request by its seed alone: one seed for all tasks would give all runs the same random numbers.

    Args:
        seed: Seed of the whole evaluation.
        task_id: The task.
        attempt: Number of the attempt.
    """
    key = f"{seed}:{attempt}:{task_id}"
    token = _seeds.set(_derive_seed(f"{key}:{call}") for call in itertools.count())
    try:
        yield
    finally:
        _seeds.reset(token)


def next_seed() -> int | None:
    """Return the seed of the next model call of the running attempt; None outside an attempt."""
    seeds = _seeds.get()
    return None if seeds is None else next(seeds)


def _derive_seed(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") % _SEEDS


class AttemptWatch(BaseCallbackHandler):
    """Ends a run that exceeds its limit of model calls, and notes tokens and errors of its backend.

    Args:
        most: Model calls that are allowed.
        count_tokens: Called with the tokens of each call.

    Attributes:
        fault: The infrastructure error of the last call, if it met one.
        refusal: The error of the last call if it is none and no call was answered so far.
        retry_after_s: The pause that a server asked for.
    """

    raise_error = True
    run_inline = True

    def __init__(self, most: int, count_tokens: Callable[[int], None] = lambda _: None) -> None:
        self._most = self._left = most
        self._count_tokens = count_tokens
        self._asked: dict[Any, float] = {}
        self._stopped = self._answered = False
        self.fault: str | None = None
        self.refusal: str | None = None
        self.retry_after_s: float | None = None

    @property
    def unanswered_s(self) -> float:
        """Return for how long the oldest open model call waits; 0 without one."""
        return time.monotonic() - min(self._asked.values()) if self._asked else 0.0

    def stop(self) -> None:
        """Refuse further calls: the attempt has ended, and a thread of it may still run."""
        self._stopped = True

    def on_chat_model_start(self, *_: Any, run_id: Any = None, **__: Any) -> None:
        """Count a call."""
        if self._stopped:
            raise EvaluationError("the attempt has ended", "no call after its end")
        self._left -= 1
        if self._left < 0:
            raise EvaluationError(
                f"the agent asked the model more than {self._most} times",
                "an answer within max_steps",
                "raise max_steps in [agent.NAME.evaluate] of burnish.toml",
            )
        self._asked[run_id] = time.monotonic()

    def on_llm_end(self, response: Any = None, *_: Any, run_id: Any = None, **__: Any) -> None:
        """Count tokens and clear the error: the agent recovered from it, because a later call was answered."""
        self._asked.pop(run_id, None)
        self._count_tokens(_total_tokens(response))
        self._answered = True
        self.fault = self.refusal = self.retry_after_s = None

    def on_llm_error(self, error: BaseException, *_: Any, run_id: Any = None, **__: Any) -> None:
        """Note an error of the backend, even one that the agent hides."""
        self._asked.pop(run_id, None)
        found = infrastructure_error(error, in_call=True)
        self.fault = found or self.fault
        if found is None and not self._answered and isinstance(error, Exception):
            self.refusal = f"{type(error).__name__}: {str(error)[:_SHOWN]}"
        if self.fault:
            self.retry_after_s = read_retry_after(error)


def _total_tokens(response: Any) -> int:
    """Return the tokens of a model's answer, as the server counts them; 0 if it does not."""
    found = 0
    for several in getattr(response, "generations", None) or []:
        for one in several:
            usage = getattr(getattr(one, "message", None), "usage_metadata", None) or {}
            found += int(usage.get("total_tokens") or 0)
    return found


def read_retry_after(error: BaseException) -> float | None:
    """Return the seconds that a server asked to wait, with the Retry-After header of its refusal.

    Args:
        error: The exception; its causes and the members of a group are checked too.
    """
    for one in _exception_chain(error):
        headers = getattr(getattr(one, "response", None), "headers", None)
        header = headers.get("retry-after") if headers is not None else None
        if header is None:
            continue
        try:
            return max(0.0, float(header))
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
        except (ValueError, TypeError):
            continue
    return None


def refuses_token(error: BaseException) -> bool:
    """Return whether the backend refused the token of a request.

    Args:
        error: The exception; its causes and the members of a group are checked too.
    """
    found = (one for one in _exception_chain(error) if _is_infrastructure(one))
    return any(error_status(one) in (401, 403) for one in found)


def infrastructure_error(error: BaseException, *, in_call: bool = False) -> str | None:
    """Return the infrastructure error behind an exception, as a line; None for errors of the agent or the model.

    Args:
        error: The exception; its causes and the members of a group are checked too.
        in_call: A model call raised it. Errors of the HTTP package count there alone, because tools use it too.
    """
    found = next((one for one in _exception_chain(error) if _is_infrastructure(one, in_call)), None)
    if isinstance(found, EnvironmentFault):
        return str(found)
    if isinstance(found, BurnishError):
        return f"{type(found).__name__}: {found.found[:_SHOWN]}"
    return None if found is None else f"{type(found).__name__}: {str(found)[:_SHOWN]}"


def _is_infrastructure(error: BaseException, in_call: bool = False) -> bool:
    if isinstance(error, BackendUnavailable | UnknownAdapter | EnvironmentFault):
        return True
    package = type(error).__module__.partition(".")[0]
    if package != "openai" and not (in_call and package in _TRANSPORTS):
        return False
    status = error_status(error)
    name = type(error).__name__
    if status is None and name == "APIError":  # an error within a stream, without a status
        return not blames_request(None, getattr(error, "type", ""), getattr(error, "code", ""))
    if status is not None:
        return not blames_request(status)
    return any(word in name for word in _BROKEN)


def _exception_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, its causes, and the members of groups, each once."""
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
