"""Define the table `[agent.NAME.evaluate]` of burnish.toml."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from burnish.config.tables import Count, Positive, Seconds, Share, Table


class EvaluateConfig(Table, frozen=True, kw_only=True):
    """`[agent.NAME.evaluate]`: settings of runs on tasks."""

    rollouts: Annotated[
        Count, Meta(description="Runs on training tasks before each training; 0 disables them.")
    ] = 0
    rollout_temperature: Annotated[
        float, Meta(ge=0, description="Sampling temperature of those runs.")
    ] = 1.0
    rollout_focus: Annotated[
        Share,
        Meta(
            description="Share of those runs that goes to kinds of task in proportion to their failures in the others."
        ),
    ] = 0.0
    concurrency: Annotated[Positive, Meta(description="Number of concurrent runs.")] = 64
    max_steps: Annotated[Positive, Meta(description="Model calls after which a run fails.")] = 12
    seed: Annotated[Count, Meta(description="Seed of the order and choice of tasks.")] = 0
    attempts: Annotated[Positive, Meta(description="Attempts of each version at a task.")] = 1
    temperature: Annotated[
        float, Meta(ge=0, description="Sampling temperature of the versions that are compared.")
    ] = 0.0
    repeat_base: Annotated[
        Count,
        Meta(
            description="Further attempts of the current version at tasks it solved, made where regressions exceed "
            "the gate's limit; 0 is none."
        ),
    ] = 2
    time_limit_s: Annotated[Seconds, Meta(description="Seconds after which a run fails.")] = 600.0
    token_limit: Annotated[
        Positive | None,
        Meta(description="Tokens of an evaluation after which no run starts; by default none."),
    ] = None
    train_sample: Annotated[
        Count,
        Meta(description="Training tasks that both versions attempt too, for the gap to held-out."),
    ] = 0
    same_start: Annotated[
        bool,
        Meta(
            description="Count a run as lost if its environment starts in another state than before; false where first "
            "states differ by design."
        ),
    ] = True
