"""Assemble what a report shows of an evaluation, as plain data.

`assemble_report` is the entry. Shares are from 0 to 1, times in seconds, tokens and calls per run. A figure without data is
`{"missing": REASON}`. `sides` names what is shown: `before` and `after`, or `after` alone where a version was measured
without another one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

import burnish
from burnish.errors import EvaluationError, WorkspaceError
from burnish.records import Evaluation, Trajectory
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.history.store import prompt_versions
from burnish_trainer.report.call_accuracy import measure_calls
from burnish_trainer.report.costs import Prices, measure_costs
from burnish_trainer.report.failure_modes import count_failure_modes
from burnish_trainer.report.lookup import ReportedEvaluation

Json = dict[str, Any]
_SIDES = ("before", "after")


@dataclass
class MeasuredSide:
    """The attempts of one version, with their runs as far as the workspace holds them."""

    results: list[AttemptResult]
    runs: dict[str, Trajectory] = field(default_factory=dict)

    def runs_with(self, label: str) -> list[Trajectory]:
        """Return the runs whose attempt got a label."""
        found = (self.runs.get(r.trajectory_id or "") for r in self.results if r.label == label)
        return [run for run in found if run is not None]


def assemble_report(
    found: ReportedEvaluation | Evaluation,
    workspace: burnish.Workspace,
    *,
    prices: Prices | None = None,
) -> Json:
    """Return everything that a report shows.

    Args:
        found: What was measured, as `find_report` or `evaluate` returns it.
        workspace: Where the evaluated runs are recorded.
        prices: Prices of tokens, for costs in US dollars.
    """
    if isinstance(found, Evaluation):
        found = ReportedEvaluation("", 0.0, found, None)
    evaluation = found.evaluation
    both = {name: _read_side(evaluation, workspace, name) for name in _SIDES}
    sides = {name: both[name] for name in _list_sides(evaluation)}
    successes: defaultdict[str | None, list[Trajectory]] = defaultdict(list)
    for side in sides.values():
        for run in side.runs_with("success"):
            successes[run.task_id].append(run)
    return {
        "agent": evaluation.agent,
        "base_model": evaluation.base_model,
        "before": evaluation.before,
        "after": evaluation.after,
        "sides": list(sides),
        "names": _name_sides(evaluation),
        **_describe_source(found),
        "pools": {name: _pool_facts(pool) for name, pool in evaluation.pools.items()},
        "flips": _list_flips(both["before"].results, both["after"].results),
        "measures": {
            name: measure_costs(side.results, prices or Prices()) for name, side in sides.items()
        },
        "calls": {
            name: measure_calls(side.runs.values(), successes) for name, side in sides.items()
        },
        "failure_modes": {
            name: count_failure_modes(side.runs_with("fail"), successes)
            for name, side in sides.items()
        },
        "attempts": {name: _count_attempts(side) for name, side in sides.items()},
        "unknown": evaluation.unknown,
        "seconds": evaluation.seconds,
    }


def _list_sides(evaluation: Evaluation) -> list[str]:
    """Return both sides, or the last one of a version that was compared with itself."""
    prompts = prompt_versions(evaluation)
    same = (evaluation.before, prompts[0]) == (evaluation.after, prompts[1])
    return ["after"] if same else list(_SIDES)


def _name_sides(evaluation: Evaluation) -> dict[str, str]:
    versions = (evaluation.before, evaluation.after)
    return {
        side: name_arm(version, prompt)
        for side, version, prompt in zip(_SIDES, versions, prompt_versions(evaluation), strict=True)
    }


def name_arm(adapter: str | None, prompt: str | None) -> str:
    """Return the name of a version: its adapter or the base, and its prompt unless it is that of the code."""
    return (adapter or "base") + (f" with prompt {prompt}" if prompt else "")


def _describe_source(found: ReportedEvaluation) -> Json:
    retrain = found.retrain
    return {
        "run": found.name or None,
        "at": found.at or None,
        "status": retrain.status if retrain else None,
        "dataset": retrain.dataset if retrain else None,
        "decision": msgspec.to_builtins(found.decision),
        "stages": retrain.stages if retrain else [],
    }


def _read_side(evaluation: Evaluation, workspace: burnish.Workspace, name: str) -> MeasuredSide:
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


def _pool_facts(pool: Any) -> Json:
    facts = msgspec.to_builtins(pool)
    return {
        **{
            key: facts[key] for key in ("before", "after", "gain", "ci95", "won", "lost", "p_value")
        },
        "tasks": len(pool.tasks) or pool.before.total,
        "families": pool.families or pool.before.total,
        "by_kind": facts["by_kind"],
        "by_tag": facts["by_tag"],
    }


def _list_flips(
    before: Sequence[AttemptResult], after: Sequence[AttemptResult]
) -> dict[str, list[Json]]:
    """List the attempts that one version solved and the other did not, with both runs."""
    later = {(r.pool, r.task_id, r.attempt): r for r in after}
    flips: dict[str, list[Json]] = {"fixed": [], "broken": []}
    names = {("fail", "success"): "fixed", ("success", "fail"): "broken"}
    for old in before:
        new = later.get((old.pool, old.task_id, old.attempt))
        name = new and names.get((old.label, new.label))
        if new and name:
            flips[name].append(
                {
                    "task": old.task_id, "pool": old.pool, "attempt": old.attempt,
                    "before": old.trajectory_id, "after": new.trajectory_id,
                }
            )  # fmt: skip
    return flips


def _count_attempts(side: MeasuredSide) -> dict[str, int]:
    """Count a version's attempts by result; `runs_missing` are no longer in the workspace."""
    recorded = {result.trajectory_id for result in side.results if result.trajectory_id}
    counts = {"all": len(side.results), "success": 0, "fail": 0, "unknown": 0, "infrastructure": 0}
    for result in side.results:
        counts["infrastructure" if result.infrastructure else result.label] += 1
    return {**counts, "runs_missing": len(recorded - side.runs.keys())}


__all__ = ["assemble_report", "name_arm", "read_attempts"]
