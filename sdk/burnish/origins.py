"""Decide which facts may decide a label, by their origin.

A fact counts if this workspace recorded it, or if burnish.toml trusts its source by name. A received or imported fact
is evidence and decides nothing, unless `trust_received` of `[agent.NAME]` names its source ("state" for final states).
A fact that code inside a run reports about that run never decides.

An imported demonstration is one line of one file, run and label alike, and the importing user declares by `--source`
that it may be used for training. So its own facts decide; facts of an import about other runs do not.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from burnish.records import Origin, Trajectory

STATE = "state"
RUNS = "runs"
"""In `trust_received`: received runs are evidence for a canary."""
_IMPORTED = ("demonstration", "teacher")
UNTRUSTED_STATE = "the final state comes from elsewhere"


def may_decide(origin: Origin, source: str, trusted: Collection[str]) -> bool:
    """Return True if a fact may decide a label.

    Args:
        origin: Origin of the fact.
        source: Its source, the name of its verifier, or "state".
        trusted: Names whose received and imported facts also decide.
    """
    return origin == "own" or (origin in ("imported", "received") and source in trusted)


def comes_with_import(trajectory: Trajectory, origin: Origin) -> bool:
    """Return True if a fact was imported together with its run, in one line of `burnish import`."""
    return origin == "imported" and trajectory.source in _IMPORTED


def remove_state(trajectory: Trajectory) -> Trajectory:
    """Return the run without a final state."""
    return msgspec.structs.replace(trajectory, final_state=None, state_origin="own")


def may_state_decide(trajectory: Trajectory, trusted: Collection[str]) -> bool:
    """Return True if the final state of a run may decide, or is missing."""
    origin = trajectory.state_origin
    known = trajectory.final_state is None or comes_with_import(trajectory, origin)
    return known or may_decide(origin, STATE, trusted)
