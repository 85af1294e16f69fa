"""Classify a run: its slice (golden, recovery, refusal, abstention) and the kind of its task."""

from __future__ import annotations

import re

from burnish.records import Trajectory
from burnish_exporters.rows import Row

GOLDEN_STEPS = 15

_REFUSES = re.compile(
    r"\b(?:sorry|can(?:no|')t|cannot|unable to|not (?:allowed|able|permitted)|won't|decline)\b",
    re.IGNORECASE,
)
_ABSTAINS = re.compile(
    r"\b(?:(?:do not|don't|does not) (?:know|have (?:that|this|enough))|not (?:sure|certain)"
    r"|no (?:information|record|data)|could(?: not|n't) (?:find|determine))\b",
    re.IGNORECASE,
)


def kind_of(trajectory: Trajectory) -> str:
    """Return the kind of a run's task: its metadata `kind`, its tag `kind:NAME`, else the tools that it used."""
    told = trajectory.metadata.get("kind")
    kind = next((tag[5:] for tag in trajectory.tags if tag.startswith("kind:")), told)
    if isinstance(kind, str) and kind:
        return kind
    used = sorted({run.name for run in trajectory.tool_runs})
    return f"uses {', '.join(used)}" if used else "no tool"


def tags_of(trajectory: Trajectory, rows: list[Row]) -> list[str]:
    """Return the tags of a verified run: those of its rows, its slices, its environment and source.

    `golden` means fewer than 15 steps without a failed call, `recovery` a failed call on the way
    (`recovery:TYPE` names the fault), `tool-success` a call that worked, `refusal` an answer that
    declines without any tool, `abstention` an answer that admits missing knowledge.
    """
    failed = any(run.is_error or run.error is not None for run in trajectory.tool_runs)
    failed = failed or any(call.error is not None for call in trajectory.model_calls)
    tags = {tag for row in rows for tag in row.kind_tags if tag}
    if failed:
        tags |= {"recovery", *(f"recovery:{kind}" for kind in _fault_types(trajectory))}
    elif len(trajectory.model_calls) < GOLDEN_STEPS:
        tags.add("golden")
    if any(not run.is_error and run.error is None for run in trajectory.tool_runs):
        tags.add("tool-success")
    answer = trajectory.answer or ""
    if not trajectory.tool_runs and any(row.tools for row in rows) and _REFUSES.search(answer):
        tags.add("refusal")
    if _ABSTAINS.search(answer):
        tags.add("abstention")
    if trajectory.environment:
        tags.add(f"environment:{trajectory.environment}")
    tags.add(f"source:{trajectory.source}")
    return sorted(tags)


def _fault_types(trajectory: Trajectory) -> set[str]:
    """Return the types of the faults in a run; an error result of a tool has the type "tool result"."""
    errors = [piece.error for piece in (*trajectory.model_calls, *trajectory.tool_runs)]
    found = {error.type for error in errors if error is not None}
    told = any(run.is_error and run.error is None for run in trajectory.tool_runs)
    return found | ({"tool result"} if told else set())
