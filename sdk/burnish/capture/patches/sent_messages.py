"""Find the messages of a call as they were sent, if LangChain passes other ones to callbacks.

`install` wraps the place in langchain-core that rewrites images, files and untyped blocks for
tracers.

The sent messages are found by the list that was made of them. If langchain-core has changed shape,
capture uses the messages that callbacks receive.
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
    module._format_for_tracing = _watch_rewrite(rewrite)  # noqa: SLF001 - there is no public name


def _watch_rewrite(rewrite: Callable[[list[Any]], list[Any]]) -> Callable[[list[Any]], list[Any]]:
    @functools.wraps(rewrite)
    def watched(messages: list[Any]) -> list[Any]:
        shown = rewrite(messages)
        if registry.active and any(map(is_not, shown, messages)) and not suppressed.get():
            _remember_messages(shown, messages)
        return shown

    return watched


@faults.guarded
def _remember_messages(shown: list[Any], sent: list[Any]) -> None:
    # The table holds the list, so that its id is not reused.
    _sent[id(shown)] = (shown, list(sent))
    while len(_sent) > _KEPT:
        _sent.popitem(last=False)


def as_sent(shown: list[Any]) -> list[Any]:
    """Return the sent messages for those that a callback received."""
    return _sent.pop(id(shown), (shown, shown))[1] if _sent else shown
