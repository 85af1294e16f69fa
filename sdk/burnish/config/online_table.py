"""Define the table `[agent.NAME.online]` of burnish.toml."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from burnish.config.tables import Positive, Table


class OnlineConfig(Table, frozen=True, kw_only=True):
    """`[agent.NAME.online]`: reinforcement learning on the agent itself, where `objective = "grpo"`."""

    steps: Annotated[
        Positive, Meta(description="Optimizer steps; each makes its own attempts.")
    ] = 50
    tasks_per_step: Annotated[Positive, Meta(description="Training tasks of one step.")] = 4
    group_size: Annotated[
        int, Meta(ge=2, le=1024, description="Attempts at each of them, which are compared.")
    ] = 8
    credit: Annotated[
        Literal["grpo", "rloo", "gigpo", "turn_level"],
        Meta(description="How a verdict becomes the advantage of each reply."),
    ] = "grpo"
