"""Agents polished by their own runs: trace, verify, train, swap.

    import burnish

    graph = burnish.wrap(create_agent(model, tools), agent="support")    # 1. decorate
    burnish.outcome(thread_id="t-42", success=True, source="crm")        # 2. report the outcome
    report = burnish.retrain("support")                                  # 3. improve

| name | what it is for |
|---|---|
| `wrap` | record runs of a LangGraph graph or LangChain runnable |
| `trace` | record runs of any function, generator or coroutine |
| `task` | name the task and user of the runs inside it |
| `outcome` | report the outcome of a run |
| `retrain` | dataset, adapter, proof and canary in one call |
| `route` | let the promoted adapter answer |
| `prompt` | let the promoted prompt answer |
| `configure` | settings of this process |
| `flush` | write everything captured to disk, and ship it |
| `Workspace` | the folder of one deployment: trajectories, datasets, adapters |
| `errors`, `records` | error classes and record types |

Importing this package loads none of LangChain, LangGraph and torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from burnish import errors, records
from burnish._version import __version__ as __version__
from burnish.imports.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from burnish.capture.api.configuration import configure
    from burnish.capture.api.scopes import flush, outcome, task
    from burnish.capture.api.tracing import trace
    from burnish.capture.api.wrapping import wrap
    from burnish.langchain.prompts import prompt
    from burnish.langchain.routing import route
    from burnish.retraining import retrain
    from burnish.workspace import Workspace

__all__ = [
    "Workspace",
    "configure",
    "errors",
    "flush",
    "outcome",
    "prompt",
    "records",
    "retrain",
    "route",
    "task",
    "trace",
    "wrap",
]

_HOMES = {
    "Workspace": "burnish.workspace",
    "configure": "burnish.capture.api.configuration",
    "flush": "burnish.capture.api.scopes",
    "outcome": "burnish.capture.api.scopes",
    "prompt": "burnish.langchain.prompts",
    "retrain": "burnish.retraining",
    "route": "burnish.langchain.routing",
    "task": "burnish.capture.api.scopes",
    "trace": "burnish.capture.api.tracing",
    "wrap": "burnish.capture.api.wrapping",
}

__getattr__, __dir__ = lazy_exports(__name__, _HOMES, always=(*__all__, "__version__"))
