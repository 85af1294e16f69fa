"""Compare trajectories with their shipped copies, which differ only in the origin of their facts."""

from __future__ import annotations

from msgspec.structs import replace

from burnish.journal.events import canonical


def comparable(trajectories) -> dict[str, bytes]:
    """Return each trajectory by its id, as bytes, as if it had been recorded here."""
    return {trajectory.id: canonical(as_own(trajectory)) for trajectory in trajectories}


def as_own(trajectory):
    """Return the trajectory with all facts of the origin "own"."""
    return replace(
        trajectory,
        origin="own",
        state_origin="own",
        outcomes=[replace(outcome, origin="own") for outcome in trajectory.outcomes],
        verdicts=[replace(verdict, origin="own") for verdict in trajectory.verdicts],
    )
