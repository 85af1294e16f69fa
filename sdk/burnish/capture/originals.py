"""Gives the messages of a call as they were sent, where LangChain shows callbacks other ones.

Knows: the place in langchain-core that rewrites images, files and untyped blocks for tracers.
Does not know: events, what a message holds.

The message that was sent is found again by the very object that was made of it. Where
langchain-core has changed shape, capture goes on with what callbacks are shown.
"""

from __future__ import annotations

import functools
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from burnish.capture import faults
from burnish.capture.live import registry

_KEPT = 256
_sent: OrderedDict[int, tuple[Any, Any]] = OrderedDict()
_done = False


def install() -> None:
    """Watch langchain-core's chat models once they are loaded."""
    global _done
    module: Any = sys.modules.get("langchain_core.language_models.chat_models")
    if _done or module is None:
        return
    _done = True
    rewrite = getattr(module, "_format_for_tracing", None)
    if rewrite is None:
        faults.say_once(
            "originals_missing",
            "langchain-core has changed shape: images and files are captured as its callbacks "
            "show them (burnish doctor)",
        )
        return
    module._format_for_tracing = _watched(rewrite)  # noqa: SLF001 - there is no public place


def _watched(rewrite: Callable[[list[Any]], list[Any]]) -> Callable[[list[Any]], list[Any]]:
    @functools.wraps(rewrite)
    def watched(messages: list[Any]) -> list[Any]:
        shown = rewrite(messages)
        if registry.active:
            _remember(shown, messages)
        return shown

    return watched


@faults.guarded
def _remember(shown: list[Any], sent: list[Any]) -> None:
    for made, message in zip(shown, sent, strict=False):
        if made is not message:
            # The object is held, so that its id cannot become another's.
            _sent[id(made)] = (made, message)
    while len(_sent) > _KEPT:
        _sent.popitem(last=False)


def as_sent(shown: list[Any]) -> list[Any]:
    """The messages behind those that a callback was shown."""
    if not _sent:
        return shown
    return [_sent.pop(id(message), (None, message))[1] for message in shown]
