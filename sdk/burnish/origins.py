"""Whose facts decide.

Knows: that a fact counts if this workspace recorded it, or if burnish.toml trusts its source by name.
Does not know: any verifier, and how a fact came to its origin.

A fact that was received or imported is evidence and decides nothing, unless `trust_received` of `[agent.NAME]` names its
source ("state" for final states). What code inside a run says of that very run never decides.

What `burnish import` brings with a demonstration is one line of one file, run and label alike: whoever imports it says
by `--source` that it may be learned from. So its own facts decide; those that an import brings about other runs do not.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from burnish.records import Origin, Trajectory

STATE = "state"
RUNS = "runs"
"""In `trust_received`: received runs are evidence of a canary."""
_IMPORTED = ("demonstration", "teacher")
UNTRUSTED_STATE = "the final state comes from elsewhere"


def decides(origin: Origin, source: str, trusted: Collection[str]) -> bool:
    """Whether a fact may decide a label.

    Args:
        origin: Where it comes from.
        source: Its source, the name of its verifier, or "state".
        trusted: Names whose received and imported facts decide too.
    """
    return origin == "own" or (origin in ("imported", "received") and source in trusted)


def comes_with_import(trajectory: Trajectory, origin: Origin) -> bool:
    """Whether a fact was imported with the very run, in one line of `burnish import`."""
    return origin == "imported" and trajectory.source in _IMPORTED


def without_state(trajectory: Trajectory) -> Trajectory:
    """The run as if no final state had been recorded."""
    return msgspec.structs.replace(trajectory, final_state=None, state_origin="own")


def state_decides(trajectory: Trajectory, trusted: Collection[str]) -> bool:
    """Whether the final state of a run may decide; a state that is missing is no one's."""
    origin = trajectory.state_origin
    known = trajectory.final_state is None or comes_with_import(trajectory, origin)
    return known or decides(origin, STATE, trusted)
