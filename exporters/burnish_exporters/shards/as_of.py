"""Restrict a run to the facts recorded up to a moment, so that an earlier version can be built again."""

from __future__ import annotations

import msgspec

from burnish.records import Trajectory


def restrict_to_moment(trajectory: Trajectory, moment_ns: int | None) -> Trajectory | None:
    """Return the run without facts that were recorded after a moment; None if it had not begun.

    Args:
        trajectory: The run with everything recorded so far.
        moment_ns: The moment, in nanoseconds since the epoch; None means now.
    """
    if moment_ns is None:
        return trajectory
    if trajectory.started_ns > moment_ns:
        return None
    outcomes = [o for o in trajectory.outcomes if o.reported_ns <= moment_ns]
    verdicts = [v for v in trajectory.verdicts if v.decided_ns <= moment_ns]
    ended = trajectory.ended_ns is not None and trajectory.ended_ns <= moment_ns
    later = trajectory.ended_ns is not None and not ended
    if not later and (outcomes, verdicts) == (trajectory.outcomes, trajectory.verdicts):
        return trajectory
    status = "running" if later else trajectory.status
    return msgspec.structs.replace(trajectory, outcomes=outcomes, verdicts=verdicts, status=status)
