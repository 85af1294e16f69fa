"""Route LangChain chat models to the version that serves an agent: `route` and `RoutingMiddleware`.

    model = burnish.route(ChatOpenAI(...), agent="support")
    create_agent(model, tools, middleware=[burnish.langchain.RoutingMiddleware("support")])

LangChain is imported at the first use of a name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burnish.langchain.middleware import RoutingMiddleware
    from burnish.langchain.routing import route

_HOMES = {
    "RoutingMiddleware": "burnish.langchain.middleware",
    "route": "burnish.langchain.routing",
}

__all__ = ["RoutingMiddleware", "route"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
