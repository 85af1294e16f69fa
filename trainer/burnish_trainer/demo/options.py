"""What can be chosen about the demo. Knows: the choices. Does not know: the story."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Choices of one demo.

    Attributes:
        rounds: Rounds of traffic, retrain and canary.
        seed: Of tasks, sampling and training.
        verify: Who says what a success is when the dataset is made: the goal state, or the agent's own claim.
        home: Folder that holds the demos.
        html: Where the report goes; by default into the demo's folder.
        runs: Production runs before each retrain.
        sabotage: Whether a bad adapter is put in at the end.
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
