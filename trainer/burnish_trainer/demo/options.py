"""Define the options of the demo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Options of one demo.

    Attributes:
        rounds: Rounds of traffic, retrain and canary.
        seed: Seed of tasks, sampling and training.
        verify: Verifier of the dataset: the goal state, or the agent's own claim.
        home: Folder that holds the demos.
        html: Path of the report; by default in the demo's folder.
        runs: Production runs before each retrain.
        sabotage: Release a bad adapter at the end.
        quiet: Print nothing.
    """

    rounds: int = 1
    seed: int = 0
    verify: Literal["goal_state", "claim"] = "goal_state"
    home: Path = Path(".burnish-demo")
    html: Path | None = None
    runs: int = 384
    sabotage: bool = True
    quiet: bool = False
