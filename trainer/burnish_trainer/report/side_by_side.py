"""Describe a run as steps, so that both runs of a task can be read side by side."""

from __future__ import annotations

from typing import Any

from burnish.cli.output import shorten_text
from burnish.journal.events import ordered_json
from burnish.records import ModelCall, ToolRun, Trajectory
from burnish_trainer.report.failure_modes import has_failed
from burnish_trainer.report.sides import SIDES, MeasuredSide

Json = dict[str, Any]
_LONGEST = 400  # characters of a step
_MOST = 40  # steps of a run


def describe_run(run: Trajectory) -> list[Json]:
    """Return the steps of a run in order of time: request, replies, tool calls with their results, end.

    Args:
        run: The run.
    """
    steps: list[ModelCall | ToolRun] = [*run.model_calls, *run.tool_runs]
    ordered = sorted(steps, key=lambda step: step.started_ns)
    told = [one for step in ordered if (one := _describe_step(step))]
    if len(told) > _MOST:
        left_out = {"step": "left out", "text": f"{len(told) - _MOST} steps", "failed": False}
        told = [*told[: _MOST // 2], left_out, *told[-_MOST // 2 :]]
    request = _request_text(run)
    first = [_make_step("request", request)] if request else []
    ended = [] if run.error is None else [_make_step(run.status, run.error.message, failed=True)]
    return [*first, *told, *ended]


def add_steps(flips: dict[str, list[Json]], sides: dict[str, MeasuredSide], most: int) -> None:
    """Give the first flips of each kind the steps of both runs; None stands for a run that is gone.

    Args:
        flips: Broken and fixed attempts.
        sides: The runs of both sides.
        most: Number of flips of a kind.
    """
    for several in flips.values():
        for flip in several[:most]:
            runs = {side: sides[side].runs.get(flip[side] or "") for side in SIDES}
            flip["steps"] = {
                side: None if run is None else describe_run(run) for side, run in runs.items()
            }


def _describe_step(step: ModelCall | ToolRun) -> Json | None:
    if isinstance(step, ToolRun):
        said = step.error.message if step.error is not None else _write_value(step.result)
        text = f"{step.name}({_write_value(step.arguments)}) → {said}"
        return _make_step("tool", text, failed=has_failed(step))
    if step.error is not None:
        return _make_step("model", f"{step.error.type}: {step.error.message}", failed=True)
    parts = (step.reply or {}).get("parts") or ()
    said = " ".join(str(part.get("content", "")) for part in parts if part.get("type") == "text")
    return _make_step("model", said) if said.strip() else None


def _request_text(run: Trajectory) -> str:
    messages = run.model_calls[0].messages if run.model_calls else []
    asked = [
        str(part.get("content", ""))
        for message in messages
        if message.get("role") == "user"
        for part in message.get("parts") or ()
        if part.get("type") == "text"
    ]
    return " ".join(asked)


def _write_value(value: Any) -> str:
    return value if isinstance(value, str) else ordered_json(value).decode()


def _make_step(step: str, text: str, *, failed: bool = False) -> Json:
    return {"step": step, "text": shorten_text(text, _LONGEST), "failed": failed}
