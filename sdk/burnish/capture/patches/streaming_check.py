"""Keep langchain-core from asking burnish's handler whether it streams.

`install` wraps `BaseChatModel._should_stream`. A chat model streams for its callback handlers, so
before each call it checks every handler against a protocol, which costs more than burnish's own
callback (2.7 % of an untraced run under Python 3.11). Burnish's handler never streams: if it is the
only one, the method is called as without any.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from burnish.compat.langchain import SHOULD_STREAM

_only: list[Any] = []  # the handlers of a model that only burnish observes
_done = False


def exempt(handler: Any) -> None:
    """Set the handler that never streams."""
    _only[:] = [handler]


def install() -> None:
    """Wrap the check of langchain-core's chat models once they are loaded."""
    global _done
    if _done:
        return
    module: Any = sys.modules.get(SHOULD_STREAM.module)
    if module is None:
        return
    _done = True
    model = getattr(module, "BaseChatModel", None)
    check = getattr(model, "_should_stream", None)
    if model is not None and check is not None:
        model._should_stream = _without_burnish(check)  # noqa: SLF001 - there is no public name


def _without_burnish(check: Callable[..., bool]) -> Callable[..., bool]:
    @functools.wraps(check)
    def should_stream(self: Any, *args: Any, **given: Any) -> bool:
        if getattr(given.get("run_manager"), "handlers", None) == _only:
            given["run_manager"] = None
        return check(self, *args, **given)

    return should_stream
