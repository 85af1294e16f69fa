"""Gives the messages of a call as they were sent, where LangChain shows callbacks other ones.

Knows: the place in langchain-core that rewrites images, files and untyped blocks for tracers.
Does not know: events, what a message holds.

The messages that were sent are found again by the very list that was made of them. Where
langchain-core has changed shape, capture goes on with what callbacks are shown.
"""

from __future__ import annotations

import functools
import sys
from collections import OrderedDict
from collections.abc import Callable
from operator import is_not
from typing import Any

from burnish.capture import faults
from burnish.capture.recorder.context import suppressed
from burnish.capture.recorder.runs import registry
from burnish.compat.langchain import FORMAT_FOR_TRACING

_KEPT = 64
_sent: OrderedDict[int, tuple[list[Any], list[Any]]] = OrderedDict()
_done = False


def install() -> None:
    """Watch langchain-core's chat models once they are loaded."""
    global _done
    if _done:
        return
    module: Any = sys.modules.get(FORMAT_FOR_TRACING.module)
    if module is None:
        return
    _done = True
    rewrite = getattr(module, FORMAT_FOR_TRACING.path, None)
    if rewrite is None:
        faults.say_once(
            "originals_missing",
            "langchain-core has changed shape: images and files are captured as its callbacks "
            "show them (burnish doctor)",
        )
        return
    module._format_for_tracing = _watch_rewrite(rewrite)  # noqa: SLF001 - there is no public place


def _watch_rewrite(rewrite: Callable[[list[Any]], list[Any]]) -> Callable[[list[Any]], list[Any]]:
    @functools.wraps(rewrite)
    def watched(messages: list[Any]) -> list[Any]:
        shown = rewrite(messages)
        if registry.active and not suppressed.get():
            _remember_messages(shown, messages)
        return shown

    return watched


@faults.guarded
def _remember_messages(shown: list[Any], sent: list[Any]) -> None:
    if any(map(is_not, shown, sent)):
        # The list is held, so that its id cannot become another's.
        _sent[id(shown)] = (shown, list(sent))
    while len(_sent) > _KEPT:
        _sent.popitem(last=False)


def as_sent(shown: list[Any]) -> list[Any]:
    """The messages behind those that a callback was shown."""
    return _sent.pop(id(shown), (shown, shown))[1] if _sent else shown
