"""Find the installed trainer and retrain an agent with it: `burnish.retrain`.

`retrain` is the entry. The trainer lies above the SDK and registers itself under `burnish.retrain`.
"""

from __future__ import annotations

from typing import Any

from burnish import errors
from burnish.records import RetrainReport


def retrain(agent: str, **overrides: Any) -> RetrainReport:
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
