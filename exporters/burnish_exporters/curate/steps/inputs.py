"""Drop runs whose record contradicts itself: an empty request, changing schemas, an end before its beginning.

Rules for one conversation as a row are in rows/validity.py.
"""

from __future__ import annotations

from typing import Any

from burnish.records import ModelCall, Tool, ToolRun, Trajectory
from burnish_exporters.curate.sample import KEEP, Drop, Item, Keep, Step

SKEW_S = 1.0


def keep_well_formed(*, skew_s: float = SKEW_S) -> Step:
    """Keep runs with a request, one schema for each tool, and times that go forward.

    Tools may come and go in a run (its rows are split there), but a tool that changes its schema
    makes earlier calls wrong. Clocks of two hosts differ a little; a larger difference hides the
    order of events.

    Args:
        skew_s: Seconds by which an end may lie before its beginning.
    """
    skew_ns = int(skew_s * 1e9)

    def check_record(item: Item) -> Keep | Drop:
        if _asks_nothing(item.trajectory):
            return Drop("malformed: empty request")
        if _schema_changed(item.trajectory):
            return Drop("malformed: a tool changed its schema in the run")
        if _runs_backwards(item.trajectory, skew_ns):
            return Drop("malformed: clock skew")
        return KEEP

    return check_record


def _asks_nothing(trajectory: Trajectory) -> bool:
    """Report if the run has user messages and all of them are blank."""
    first = next(iter(trajectory.model_calls), None)
    users = [m for m in first.messages if m.get("role") == "user"] if first else []
    parts = [part for message in users for part in message.get("parts") or ()]
    return bool(users) and not any(_says_something(part) for part in parts)


def _says_something(part: dict[str, Any]) -> bool:
    content = part.get("content")
    return part.get("type") != "text" or (isinstance(content, str) and bool(content.strip()))


def _schema_changed(trajectory: Trajectory) -> bool:
    known: dict[str, Tool] = {}
    before: list[Tool] | None = None
    for call in trajectory.model_calls:
        if call.tools is before or call.tools == before:
            continue
        before = call.tools
        for tool in call.tools:
            function = tool.get("function")
            schema = function if isinstance(function, dict) else tool
            first = known.setdefault(str(schema.get("name")), schema)
            if first is not schema and first.get("parameters") != schema.get("parameters"):
                return True
    return False


def _runs_backwards(trajectory: Trajectory, skew_ns: int) -> bool:
    pieces: list[ModelCall | ToolRun | Trajectory] = [trajectory, *trajectory.model_calls]
    for piece in (*pieces, *trajectory.tool_runs):
        if piece.ended_ns is not None and piece.started_ns - piece.ended_ns > skew_ns:
            return True
        if trajectory.started_ns - piece.started_ns > skew_ns:
            return True
    return False
