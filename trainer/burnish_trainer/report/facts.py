"""Assemble what a report shows of an evaluation: rates, flips, costs, calls, failure modes, the gate.

`find_report` finds the newest retrain of an agent, `assemble_report` reads its runs in the workspace. Both return plain
data. Shares are from 0 to 1, times in seconds, tokens and calls per run.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

import burnish
from burnish.errors import EvaluationError, WorkspaceError
from burnish.files.paths import is_component
from burnish.records import Evaluation, RetrainReport, Trajectory
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.report.call_accuracy import measure_calls
from burnish_trainer.report.failure_modes import count_failure_modes

Json = dict[str, Any]
_SIDES = ("before", "after")


@dataclass(frozen=True)
class Prices:
    """Prices of the model in US dollars per million tokens; 0 where they are unknown."""

    input_usd: float = 0.0
    output_usd: float = 0.0

    @property
    def known(self) -> bool:
        """Return whether any price was given."""
        return bool(self.input_usd or self.output_usd)

    def cost_of(self, tokens: Mapping[str, float]) -> float:
        """Return the cost of a run in US dollars.

        Args:
            tokens: Its `input_tokens` and `output_tokens`.
        """
        given = tokens.get("input_tokens", 0.0) * self.input_usd
        return (given + tokens.get("output_tokens", 0.0) * self.output_usd) / 1e6


@dataclass
class _Side:
    """The attempts of one version, with their runs as far as the workspace holds them."""

    results: list[AttemptResult]
    runs: dict[str, Trajectory] = field(default_factory=dict)

    def runs_with(self, label: str) -> list[Trajectory]:
        found = (self.runs.get(r.trajectory_id or "") for r in self.results if r.label == label)
        return [run for run in found if run is not None]


def find_report(home: Path, agent: str, run: str | None = None) -> RetrainReport:
    """Return the report of a retrain.

    Args:
        home: Folder of the workspace.
        agent: Name of the agent.
        run: Name of the run, such as retrain-support-0003; by default the newest with an evaluation.

    Raises:
        EvaluationError: There is none, or it cannot be read.
    """
    names = _list_retrains(home, agent) if run is None else [run] if is_component(run) else []
    for name in names:
        path = home / "runs" / name / "report.json"
        try:
            report = msgspec.json.decode(path.read_bytes(), type=RetrainReport)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as broken:
            earlier = next(iter(names[names.index(name) + 1 :]), None)
            raise EvaluationError(
                f"{path} cannot be read: {broken}",
                "the report that the retrain wrote",
                f"burnish report {agent} --run {earlier}"
                if earlier
                else f"burnish retrain {agent}",
            ) from broken
        if report.evaluation is not None and report.agent == agent:
            return report
    raise EvaluationError(
        f"no evaluated retrain of {agent!r} in {home / 'runs'}"
        + (f" named {run!r}" if run else ""),
        "a retrain that reached its gate",
        f"burnish retrain {agent}",
    )


def _list_retrains(home: Path, agent: str) -> list[str]:
    """List the names of an agent's retrains, the newest first."""
    runs, beginning = home / "runs", f"retrain-{agent}-"
    names = [path.name for path in runs.iterdir()] if runs.is_dir() else []
    numbers = {
        int(name.removeprefix(beginning)): name
        for name in names
        if name.startswith(beginning) and name.removeprefix(beginning).isdecimal()
    }
    return [numbers[number] for number in sorted(numbers, reverse=True)]


def assemble_report(
    evaluation: Evaluation,
    workspace: burnish.Workspace,
    *,
    retrain: RetrainReport | None = None,
    prices: Prices | None = None,
) -> Json:
    """Return everything that a report shows.

    Args:
        evaluation: What was measured.
        workspace: Where the evaluated runs are recorded.
        retrain: The retrain that the evaluation is part of.
        prices: Prices of tokens, for costs in US dollars.
    """
    sides = {name: _read_side(evaluation, workspace, name) for name in _SIDES}
    successes: defaultdict[str | None, list[Trajectory]] = defaultdict(list)
    for side in sides.values():
        for run in side.runs_with("success"):
            successes[run.task_id].append(run)
    return {
        "agent": evaluation.agent,
        "base_model": evaluation.base_model,
        "before": evaluation.before,
        "after": evaluation.after,
        **_describe_retrain(retrain),
        "pools": {name: _pool_facts(pool) for name, pool in evaluation.pools.items()},
        "flips": _list_flips(sides["before"].results, sides["after"].results),
        "measures": {name: _measure_side(side, prices or Prices()) for name, side in sides.items()},
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


def _describe_retrain(retrain: RetrainReport | None) -> Json:
    if retrain is None:
        return {"run": None, "status": None, "dataset": None, "decision": None, "stages": []}
    return {
        "run": retrain.run_id,
        "status": retrain.status,
        "dataset": retrain.dataset,
        "decision": msgspec.to_builtins(retrain.decision),
        "stages": retrain.stages,
    }


def _read_side(evaluation: Evaluation, workspace: burnish.Workspace, name: str) -> _Side:
    """Read the attempts of a version, and their runs; a run that is gone is left out and counted."""
    attempts: Any = evaluation.extras.get("attempts") or {}
    try:
        both = msgspec.convert(attempts, dict[str, list[AttemptResult]])
    except msgspec.ValidationError as odd:
        raise EvaluationError(
            f"the attempts of the evaluation cannot be read: {odd}",
            "the attempts that burnish eval or burnish retrain recorded",
            f"burnish eval {evaluation.agent}",
        ) from odd
    side = _Side(both.get(name, []))
    for result in side.results:
        if result.trajectory_id is None:
            continue
        try:
            side.runs[result.trajectory_id] = workspace.trajectory(result.trajectory_id)
        except WorkspaceError:  # removed by forget or retention
            continue
    return side


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


def _measure_side(side: _Side, prices: Prices) -> dict[str, float]:
    """Measure steps, calls, tokens, latency and cost of a version's runs."""
    costs = [result.cost for result in side.results if result.cost]
    if not costs:
        return {}
    found = {
        key: statistics.fmean(cost.get(key, 0.0) for cost in costs)
        for key in ("steps", "tool_calls", "input_tokens", "output_tokens")
    }
    tokens = sum(cost.get("input_tokens", 0) + cost.get("output_tokens", 0) for cost in costs)
    seconds = sorted(cost.get("latency_s", 0.0) for cost in costs)
    successes = sum(result.label == "success" for result in side.results)
    found |= {
        "latency_p50_s": _quantile(seconds, 0.5),
        "latency_p95_s": _quantile(seconds, 0.95),
    }
    if successes:
        found["tokens_per_success"] = tokens / successes
    if prices.known:
        total = sum(map(prices.cost_of, costs))
        found["usd_per_run"] = total / len(costs)
        if successes:
            found["usd_per_success"] = total / successes
    return found


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values, by linear interpolation."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _count_attempts(side: _Side) -> dict[str, int]:
    """Count a version's attempts by result; `runs_missing` are no longer in the workspace."""
    recorded = {result.trajectory_id for result in side.results if result.trajectory_id}
    counts = {"all": len(side.results), "success": 0, "fail": 0, "unknown": 0, "infrastructure": 0}
    for result in side.results:
        counts["infrastructure" if result.infrastructure else result.label] += 1
    return {**counts, "runs_missing": len(recorded - side.runs.keys())}


__all__ = ["Prices", "assemble_report", "find_report"]
