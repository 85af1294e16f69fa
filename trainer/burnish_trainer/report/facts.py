"""Assemble what a report shows of an evaluation, as plain data.

`assemble_report` is the entry. Shares are from 0 to 1, times in seconds, tokens and calls per run. A figure without data is
`{"missing": REASON}`. `sides` names what is shown: `before` and `after`, or `after` alone where a version was measured
without another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

import burnish
from burnish.records import Evaluation
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.notes import evaluation_notes
from burnish_trainer.report.costs import Prices, compare_costs, measure_costs
from burnish_trainer.report.failure_modes import count_failure_modes
from burnish_trainer.report.figures.arms import compare_arms
from burnish_trainer.report.figures.attempts_by_task import (
    list_missing_slices,
    measure_pass_at,
    measure_slices,
)
from burnish_trainer.report.figures.conduct import measure_conduct
from burnish_trainer.report.figures.learning_curve import read_learning
from burnish_trainer.report.figures.limit_tests import measure_limits, measure_power
from burnish_trainer.report.figures.round_trend import measure_gaps, measure_rounds
from burnish_trainer.report.figures.shares import describe_share, read_tags
from burnish_trainer.report.figures.unfinished import list_unfinished
from burnish_trainer.report.lookup import ReportedEvaluation, list_reports
from burnish_trainer.report.side_by_side import add_steps
from burnish_trainer.report.sides import (
    SIDES,
    MeasuredSide,
    group_successes,
    list_sides,
    name_sides,
    read_side,
)

Json = dict[str, Any]
_SIDE_BY_SIDE = 25  # broken and fixed tasks of which both runs are shown


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
    both = {name: read_side(evaluation, workspace, name) for name in SIDES}
    sides = {name: both[name] for name in list_sides(evaluation)}
    successes, tags = group_successes(sides.values()), read_tags(evaluation.pools)
    results = {name: side.results for name, side in sides.items()}
    stored = [(one.name, one.evaluation) for one in list_reports(workspace.home, evaluation.agent)]
    versions = {"before": evaluation.before, "after": evaluation.after}
    flips = _list_flips(both["before"].results, both["after"].results)
    add_steps(flips, both, _SIDE_BY_SIDE)
    return {
        "agent": evaluation.agent,
        "base_model": evaluation.base_model,
        "before": evaluation.before,
        "after": evaluation.after,
        "sides": list(sides),
        "names": name_sides(evaluation),
        **_describe_source(found),
        "pools": {name: _pool_facts(pool) for name, pool in evaluation.pools.items()},
        "slices": measure_slices(evaluation, results),
        "missing_slices": list_missing_slices(evaluation),
        "arms": compare_arms(evaluation, stored, prices or Prices()),
        "pass_at": measure_pass_at(evaluation, results),
        "flips": flips,
        "measures": {
            name: measure_costs(side.results, prices or Prices()) for name, side in sides.items()
        },
        "cost_changes": compare_costs(evaluation.pools.get("heldout")) if len(sides) == 2 else {},
        "calls": {name: measure_conduct(side, successes, tags) for name, side in sides.items()},
        "failure_modes": {
            name: count_failure_modes(side.runs_with("fail"), successes)
            for name, side in sides.items()
        },
        **_describe_attempts(evaluation, sides),
        "limits": measure_limits(evaluation, found.decision) if len(sides) == 2 else [],
        "power": measure_power(evaluation, found.decision, workspace.home),
        "gap": measure_gaps(evaluation, sides),
        "rounds": measure_rounds(evaluation, sides, workspace.home),
        "learning": {name: read_learning(workspace.home, versions[name]) for name in sides},
        "unknown": evaluation.unknown,
        "seconds": evaluation.seconds,
    }


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


def _pool_facts(pool: Any) -> Json:
    facts = msgspec.to_builtins(pool)
    return {
        **{
            key: facts[key] for key in ("before", "after", "gain", "ci95", "won", "lost", "p_value")
        },
        "regressions": describe_share(pool.lost, pool.before.successes, "nothing was solved"),
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


def _describe_attempts(evaluation: Evaluation, sides: Mapping[str, MeasuredSide]) -> Json:
    remembered: Any = evaluation.extras.get("remembered") or {}
    return {
        "attempts": {
            name: _count_attempts(side, remembered.get(name, 0)) for name, side in sides.items()
        },
        "unfinished": list_unfinished(sides),
        "notes": evaluation_notes(evaluation),
    }


def _count_attempts(side: MeasuredSide, remembered: int) -> dict[str, int]:
    """Count a version's attempts by result; `runs_missing` are no longer in the workspace.

    Args:
        side: The attempts.
        remembered: Number of them whose result an earlier evaluation made.
    """
    recorded = {result.trajectory_id for result in side.results if result.trajectory_id}
    counts = {"all": len(side.results), "success": 0, "fail": 0, "unknown": 0, "infrastructure": 0}
    for result in side.results:
        counts["infrastructure" if result.infrastructure else result.label] += 1
    missing = len(recorded - side.runs.keys())
    return {**counts, "remembered": remembered, "runs_missing": missing}


__all__ = ["assemble_report"]
