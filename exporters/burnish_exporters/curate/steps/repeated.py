"""Drop runs that repeat a tool call without a new result.

A call is repeated if it has the same tool, arguments and result as an earlier one. necessity.py
measures if a call was needed at all.
"""

from __future__ import annotations

import msgspec

from burnish.records import ToolRun, Trajectory
from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step
from burnish_exporters.rows.canonical_json import stable_json


def limit_repeated_calls(most: int = 0) -> Step:
    """Keep runs with at most this many repeated calls.

    Args:
        most: Repeated calls that are allowed.

    Raises:
        ValueError: If it is negative.
    """
    if most < 0:
        raise ValueError(f"max_repeated_calls is {most}, expected 0 or more, or None to keep all")

    def check_repeats(item: Item) -> Keep | Drop:
        return (
            Drop("redundant: repeated call")
            if len(find_repeated_calls(item.trajectory)) > most
            else KEEP
        )

    return check_repeats


def find_repeated_calls(trajectory: Trajectory) -> list[ToolRun]:
    """Return the tool runs that gave the result of an earlier run with the same arguments, in order.

    A retry after an error does not count, and neither does a call whose result changed: that is a poll.
    """
    seen: dict[bytes, bytes] = {}
    found = []
    for run in sorted(trajectory.tool_runs, key=lambda run: run.started_ns):
        if run.is_error or run.error is not None:
            continue
        try:
            asked, told = stable_json([run.name, run.arguments]), stable_json(run.result)
        except (UnicodeEncodeError, OverflowError, TypeError, msgspec.MsgspecError):
            continue
        if seen.get(asked) == told:
            found.append(run)
        seen[asked] = told
    return found
