"""Measure how a version acts beside success: tools, arguments, ignored results, instruction hierarchy, abstention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from burnish.records import Trajectory
from burnish_trainer.report.call_accuracy import Share, measure_calls
from burnish_trainer.report.failure_modes import has_failed, name_failure_modes
from burnish_trainer.report.figures.shares import Json, count_successes, describe_share
from burnish_trainer.report.sides import MeasuredSide

ABSTAIN, HIERARCHY = "should_abstain", "instruction_hierarchy"
"""Tags of tasks that the agent should decline, and of tasks whose instructions contradict each other."""
Successes = Mapping[str | None, Sequence[Trajectory]]
Tags = Mapping[tuple[str, str], set[str]]
"""Tags of each task, by pool and id."""
_ALONE = "no task has another successful run to compare with"


def measure_conduct(side: MeasuredSide, successes: Successes, tags: Tags) -> dict[str, Json]:
    """Return the shares of a version, each with an interval or with the reason why it is missing.

    - `tool_selection`, `arguments`, `unneeded_calls`, `failed_calls`: see `call_accuracy`;
    - `ignored_results`: runs that failed because they answer without what their calls found, of runs whose calls found
      something;
    - `instruction_hierarchy`, `abstention`: successes on tasks with the tag `instruction_hierarchy`, `should_abstain`;
    - `needless_abstention`: runs that call no tool, of runs of tasks whose successes all call one.

    Args:
        side: Attempts and runs of the version.
        successes: Successful runs by task, of all versions.
        tags: Tags of the tasks.
    """
    calls = measure_calls(side.runs.values(), successes)
    reasons = dict.fromkeys(calls, _ALONE)
    reasons["failed_calls"] = "no run called a tool"
    found = {
        name: describe_share(share["part"], share["whole"], _explain_runs(side, reasons[name]))
        for name, share in calls.items()
    }
    ignored, idle = _count_ignored(side, successes), _count_idle(side, successes, tags)
    found["ignored_results"] = describe_share(
        ignored["part"], ignored["whole"], _explain_runs(side, "no call of a tool found anything")
    )
    for name, tag in (("instruction_hierarchy", HIERARCHY), ("abstention", ABSTAIN)):
        tagged = [one for one in side.results if tag in tags.get((one.pool, one.task_id), ())]
        reason = "no verifier decided one" if tagged else f"no task carries the tag {tag}"
        found[name] = count_successes(tagged, reason)
    found["needless_abstention"] = describe_share(
        idle["part"],
        idle["whole"],
        _explain_runs(side, "no task has successes that all call a tool"),
    )
    return found


def _explain_runs(side: MeasuredSide, reason: str) -> str:
    """Return why a figure of runs is missing; without runs, that is the reason."""
    return reason if side.runs else "no run of this version is in the workspace any more"


def _count_ignored(side: MeasuredSide, successes: Successes) -> Share:
    part = whole = 0
    for result in side.results:
        run = side.run_of(result)
        if run is None or result.label == "unknown":
            continue
        if not any(not has_failed(call) and call.result for call in run.tool_runs):
            continue
        whole += 1
        if result.label == "fail":
            modes = name_failure_modes(run, successes.get(run.task_id, ()))
            part += "ignores_result" in modes
    return {"part": part, "whole": whole}


def _count_idle(side: MeasuredSide, successes: Successes, tags: Tags) -> Share:
    part = whole = 0
    for result in side.results:
        run = side.run_of(result)
        if run is None or ABSTAIN in tags.get((result.pool, result.task_id), ()):
            continue
        others = [one for one in successes.get(run.task_id, ()) if one.id != run.id]
        if others and all(one.tool_runs for one in others):
            whole += 1
            part += not run.tool_runs
    return {"part": part, "whole": whole}
