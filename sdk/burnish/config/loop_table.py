"""Define the table `[agent.NAME.loop]` of burnish.toml."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from burnish.config.tables import Count, Positive, Seconds, Table

_INTERVAL = "^[1-9][0-9]{0,5}[mhd]$"
INTERVAL = re.compile(_INTERVAL)
"""Form of an interval: minutes, hours or days."""


class LoopConfig(Table, frozen=True, kw_only=True):
    """`[agent.NAME.loop]`: when `burnish loop` starts a round, and who hears of transitions."""

    every: Annotated[
        Annotated[str, Meta(pattern=_INTERVAL)] | None,
        Meta(description='Time between two rounds of `burnish loop`, such as "30m", "6h" or "1d".'),
    ] = None
    min_new_successes: Annotated[
        Count,
        Meta(
            description="New verified successes that a round waits for; with `every`, a round needs both."
        ),
    ] = 0
    check_every_s: Annotated[
        Seconds, Meta(description="Seconds between two looks at the journal and the canary.")
    ] = 60.0
    on_transition: Annotated[
        list[str],
        Meta(
            description='Webhooks (URLs) and functions ("module:function") that hear of each transition of a round or canary.'
        ),
    ] = msgspec.field(default_factory=list)
    hook_timeout_s: Annotated[Seconds, Meta(description="Longest time of one call of a hook.")] = (
        5.0
    )
    hook_tries: Annotated[
        Positive, Meta(description="Calls of a hook that fails, before the transition is dropped.")
    ] = 3
    hook_token_env: Annotated[
        str, Meta(description="Environment variable with the bearer token for webhooks.")
    ] = "BURNISH_HOOK_TOKEN"  # noqa: S105 - the name of a variable
