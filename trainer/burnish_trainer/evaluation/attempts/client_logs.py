"""Bound the log lines that libraries write for the requests of an evaluation.

The openai client and httpx log every retry and every request, which floods the log when a server limits the rate. Inside
an evaluation the first line of each kind passes; the others are counted, and one line at the end gives their number.
LangChain logs each exception of a callback. That of an `AttemptWatch` is how an attempt ends at its limit, which is the
reason of the attempt's result, and not logged. Requests outside of an evaluation are logged as before.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from burnish_trainer.evaluation.attempts.watch import AttemptWatch

_CALLBACKS = "langchain_core.callbacks.manager"
_LOGGERS = ("openai._base_client", "httpx", "httpx2", _CALLBACKS)
_inside: ContextVar[bool] = ContextVar("burnish_evaluation_request", default=False)
_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")


class _RepeatedLines(logging.Filter):
    """Passes the first line of each kind that an evaluation causes, counts the others, and drops those of the watch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Report if a record is logged."""
        if not _inside.get() or record.levelno >= logging.ERROR:
            return True
        if record.name == _CALLBACKS:
            return AttemptWatch.__name__ not in (record.args or ())
        key = (record.name, str(record.msg))
        self.seen[key] += 1
        return self.seen[key] == 1


@contextmanager
def bound_client_logs() -> Generator[None]:
    """Bound the lines inside the block, for requests of `mark_requests`."""
    lines = _RepeatedLines()
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(lines)
    try:
        yield
    finally:
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(lines)
        for (name, message), count in lines.seen.items():
            if count > 1:
                _LOG.info("burnish: %d more lines of %s: %s", count - 1, name, message)


async def mark_requests(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine whose requests count as those of an evaluation."""
    _inside.set(True)
    return await work


__all__ = ["bound_client_logs", "mark_requests"]
