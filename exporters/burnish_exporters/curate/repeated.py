"""Drop runs that called the same tool for the same thing again.

Knows: when a call brought nothing new: same tool, same arguments, same result, and no other call in between that may
have changed the world. Does not know: whether a call was needed at all (necessity.py).
"""

from __future__ import annotations

import msgspec

from burnish.records import ToolRun, Trajectory
from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step
from burnish_exporters.rows.canonical_json import stable_json


def without_repeated_calls(most: int = 0) -> Step:
    """Keep runs with at most so many calls that brought nothing new.

    Args:
        most: Repeated calls that are allowed.

    Raises:
        ValueError: If it is negative.
    """
    if most < 0:
        raise ValueError(f"max_repeated_calls is {most}, expected 0 or more, or None to keep all")

    def step(item: Item) -> Keep | Drop:
        return Drop("redundant: repeated call") if len(repeated(item.trajectory)) > most else KEEP

    return step


def repeated(trajectory: Trajectory) -> list[ToolRun]:
    """Tool runs that gave what an earlier run with the same arguments gave, in order.

    A retry after an error is none of them, and neither is a call whose result changed: that is a poll.
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
