"""Measure how well runs choose tools and arguments, against the successful runs of their tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from burnish.journal.events import canonical
from burnish.records import Trajectory
from burnish_trainer.report.failure_modes import has_failed

Share = dict[str, int]
"""A share as `part` of `whole`, so that it can be added and given an interval."""


def measure_calls(
    runs: Iterable[Trajectory], successes: Mapping[str | None, Sequence[Trajectory]]
) -> dict[str, Share]:
    """Count what runs called, as parts of wholes.

    - `tool_selection`: runs that call every tool that each success of their task calls, and no tool that none calls;
    - `arguments`: calls that equal a call of a success of their task, of the calls of tools that successes call;
    - `unneeded_calls`: calls of tools that no success of their task calls;
    - `failed_calls`: calls that failed, of all calls.

    A success is not compared with itself: tasks without another success count for `failed_calls` alone.

    Args:
        runs: Runs of one version.
        successes: Successful runs by task, of all versions.
    """
    found = {
        name: {"part": 0, "whole": 0}
        for name in ("tool_selection", "arguments", "unneeded_calls", "failed_calls")
    }
    for run in runs:
        others = [one for one in successes.get(run.task_id, ()) if one.id != run.id]
        calls = [(call.name, canonical(call.arguments)) for call in run.tool_runs]
        _add(found["failed_calls"], sum(map(has_failed, run.tool_runs)), len(calls))
        if not others:
            continue
        sets = [{call.name for call in one.tool_runs} for one in others]
        needed, known = set.intersection(*sets), set().union(*sets)
        right = {(call.name, canonical(call.arguments)) for one in others for call in one.tool_runs}
        tools = {name for name, _ in calls}
        _add(found["tool_selection"], int(needed <= tools <= known), 1)
        comparable = [call for call in calls if call[0] in known]
        _add(found["arguments"], sum(call in right for call in comparable), len(comparable))
        _add(found["unneeded_calls"], len(calls) - len(comparable), len(calls))
    return found


def _add(share: Share, part: int, whole: int) -> None:
    share["part"] += part
    share["whole"] += whole
