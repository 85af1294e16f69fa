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
| `configure` | settings of this process |
| `flush` | write everything captured to disk, and ship it |
| `Workspace` | the folder of one deployment: trajectories, datasets, adapters |
| `errors`, `records` | error classes and record types |

Importing this package loads none of LangChain, LangGraph and torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from burnish import errors, records
from burnish import settings as _settings
from burnish._version import __version__ as __version__

if TYPE_CHECKING:
    from burnish.capture.api.scopes import flush, outcome, task
    from burnish.capture.api.tracing import trace
    from burnish.capture.api.wrapping import wrap
    from burnish.langchain.routing import route
    from burnish.workspace import Workspace

__all__ = [
    "Workspace",
    "configure",
    "errors",
    "flush",
    "outcome",
    "records",
    "retrain",
    "route",
    "task",
    "trace",
    "wrap",
]

_HOMES = {
    "Workspace": "burnish.workspace",
    "flush": "burnish.capture.api.scopes",
    "outcome": "burnish.capture.api.scopes",
    "route": "burnish.langchain.routing",
    "task": "burnish.capture.api.scopes",
    "trace": "burnish.capture.api.tracing",
    "wrap": "burnish.capture.api.wrapping",
}


def configure(**given: Any) -> _settings.Settings:
    """Set process-wide settings; other settings keep their values.

    Each is also `BURNISH_<NAME>` in the environment and a key of `[burnish]` in burnish.toml:
    `home`, `otlp_endpoint`, `exporters`, `redact`, `capture`, `content`, `sample`, `fsync` and the
    rest of `burnish.settings.Settings`.

    Raises:
        SettingsError: If a name is unknown or a value is out of range.
    """
    chosen = _settings.configure(**given)
    if given.get("capture") == "all":  # this process may never call wrap
        from burnish.capture.langchain.invocation import listen

        listen()
    return chosen


def retrain(agent: str, **overrides: Any) -> records.RetrainReport:
    """Turn the agent's verified runs into a proven adapter and start its canary.

    Dataset, training, evaluation, gate, registry and canary, each resumable; see `burnish.toml`.

    Args:
        agent: Name of the agent in `burnish.toml`.
        **overrides: Settings of `[agent.NAME]` for this call only.

    Raises:
        BurnishError: With what was found, what was expected, and the next command.
    """
    from importlib.metadata import entry_points

    for found in entry_points(group="burnish.retrain", name="retrain"):
        try:
            run = found.load()
        except ImportError as missing:
            raise errors.TrainingError(
                f"the trainer cannot be loaded: {missing}",
                "its packages",
                "pip install 'burnish[train]'",
            ) from missing
        return run(agent, **overrides)
    raise errors.TrainingError(
        "no trainer is installed", "the package burnish_trainer", "pip install 'burnish[train]'"
    )


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'burnish' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
