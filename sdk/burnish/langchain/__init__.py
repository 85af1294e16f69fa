"""Route LangChain chat models to the version that serves an agent: `route` and `RoutingMiddleware`.

    model = burnish.route(ChatOpenAI(...), agent="support")
    create_agent(model, tools, middleware=[burnish.langchain.RoutingMiddleware("support")])

LangChain is imported at the first use of a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burnish.imports.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from burnish.langchain.middleware import RoutingMiddleware
    from burnish.langchain.routing import route

_HOMES = {
    "RoutingMiddleware": "burnish.langchain.middleware",
    "route": "burnish.langchain.routing",
}

__all__ = ["RoutingMiddleware", "route"]

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)
