"""Read both sides of an evaluation: their attempts, their runs, their names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

import burnish
from burnish.errors import EvaluationError, WorkspaceError
from burnish.records import Evaluation, Trajectory
from burnish_trainer.evaluation.attempts.arm_version import read_versions
from burnish_trainer.evaluation.attempts.ended import AttemptResult

SIDES = ("before", "after")


@dataclass
class MeasuredSide:
    """The attempts of one version, with their runs as far as the workspace holds them."""

    results: list[AttemptResult]
    runs: dict[str, Trajectory] = field(default_factory=dict)

    def run_of(self, result: AttemptResult) -> Trajectory | None:
        """Return the run of an attempt; None if it is not recorded any more."""
        return self.runs.get(result.trajectory_id or "")

    def runs_with(self, label: str) -> list[Trajectory]:
        """Return the runs whose attempt got a label."""
        found = (self.runs.get(r.trajectory_id or "") for r in self.results if r.label == label)
        return [run for run in found if run is not None]


def list_sides(evaluation: Evaluation) -> list[str]:
    """Return both sides, or the last one of a version that was compared with itself."""
    before, after = read_versions(evaluation)
    return ["after"] if before == after else list(SIDES)


def name_sides(evaluation: Evaluation) -> dict[str, str]:
    """Return the name of each side's version."""
    versions = read_versions(evaluation)
    return {side: version.label for side, version in zip(SIDES, versions, strict=True)}


def read_side(evaluation: Evaluation, workspace: burnish.Workspace, name: str) -> MeasuredSide:
    """Read the attempts of a version, and their runs; a run that is gone is left out and counted."""
    side = MeasuredSide(read_attempts(evaluation).get(name, []))
    for result in side.results:
        if result.trajectory_id is None:
            continue
        try:
            side.runs[result.trajectory_id] = workspace.trajectory(result.trajectory_id)
        except WorkspaceError:  # removed by forget or retention
            continue
    return side


def read_attempts(evaluation: Evaluation) -> dict[str, list[AttemptResult]]:
    """Return the attempts of both sides.

    Args:
        evaluation: What was measured.

    Raises:
        EvaluationError: They have a wrong form.
    """
    attempts: Any = evaluation.extras.get("attempts") or {}
    try:
        return msgspec.convert(attempts, dict[str, list[AttemptResult]])
    except msgspec.ValidationError as odd:
        raise EvaluationError(
            f"the attempts of the evaluation cannot be read: {odd}",
            "the attempts that burnish eval or burnish retrain recorded",
            f"burnish eval {evaluation.agent}",
        ) from odd


def group_successes(sides: Iterable[MeasuredSide]) -> Mapping[str | None, Sequence[Trajectory]]:
    """Return the successful runs of all sides by task."""
    found: defaultdict[str | None, list[Trajectory]] = defaultdict(list)
    for side in sides:
        for run in side.runs_with("success"):
            found[run.task_id].append(run)
    return dict(found)
