"""Find the trajectory that an invocation resumes.

`trajectory_of_checkpoint` reads the checkpoint from which a graph continues; `thread_runs` lists
the runs of a thread.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

from burnish.capture import faults
from burnish.capture.recorder import thread_runs
from burnish.capture.recorder.values import text_of_value
from burnish.compat.langgraph import CHECKPOINTER

KEY = "burnish_trajectory"
"""Key of the trajectory's id in the metadata of checkpoints that earlier versions made."""
NOT_FOUND = "-"
"""Marks a checkpoint without a known trajectory."""
_EDITED = ("update", "fork")  # checkpoints of `update_state`, which no run makes
_EDITS = 100  # number of consecutive edits that are skipped


def configurable_of(graph: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Return `configurable` as the graph will see it."""
    bound = getattr(graph, "config", None)
    own = bound.get("configurable") if isinstance(bound, dict) else None
    given = config.get("configurable")
    if not own:
        return given or {}
    return {**own, **(given or {})}


def keeps_checkpoints(graph: Any, configurable: dict[str, Any]) -> bool:
    """Return whether a checkpointer would keep our id."""
    found = configurable.get(CHECKPOINTER, getattr(graph, "checkpointer", None))
    return found is not None and found is not False


def is_resume(input: Any, configurable: dict[str, Any]) -> bool:
    """Return whether the input continues an earlier run instead of starting a new one."""
    if input is None or configurable.get("checkpoint_id") is not None:
        return configurable.get("thread_id") is not None
    return type(input).__name__ == "Command" and getattr(input, "resume", None) is not None


def readable_input(input: Any) -> Any:
    """Convert the input of an invocation to its recorded form."""
    if type(input).__name__ == "Command":
        given = {name: getattr(input, name, None) for name in ("resume", "update", "goto")}
        return {name: value for name, value in given.items() if value is not None and value != ()}
    return input


def trajectory_of_checkpoint(
    graph: Any, config: dict[str, Any], configurable: dict[str, Any]
) -> str | None:
    """Return the trajectory whose run made the checkpoint, or NOT_FOUND."""
    if not keeps_checkpoints(graph, configurable) or not hasattr(graph, "get_state"):
        return NOT_FOUND
    thread = text_of_value(configurable.get("thread_id"))
    place: Any = {"configurable": dict(config.get("configurable") or {})}
    try:
        for _ in range(_EDITS):
            state = graph.get_state(place)
            place = _before_the_edit(state)
            if place is None:
                return _maker_of_checkpoint(state, thread)
    except Exception as error:  # noqa: BLE001 - the user's store; the run itself will report it
        faults.count(f"checkpoint not read: {type(error).__name__}")
    return NOT_FOUND


async def trajectory_of_checkpoint_async(
    graph: Any, input: Any, config: dict[str, Any] | None
) -> str | None:
    """Return the result of `trajectory_of_checkpoint` for an asynchronous checkpointer.

    None means that the input is not a resume.
    """
    given = dict(config or {})
    configurable = configurable_of(graph, given)
    if not is_resume(input, configurable) or not hasattr(graph, "aget_state"):
        return None
    if not keeps_checkpoints(graph, configurable):
        return NOT_FOUND
    thread = text_of_value(configurable.get("thread_id"))
    place: Any = {"configurable": dict(given.get("configurable") or {})}
    try:
        for _ in range(_EDITS):
            state = await graph.aget_state(place)
            place = _before_the_edit(state)
            if place is None:
                return await _maker_async(state, thread)
    except Exception as error:  # noqa: BLE001 - the user's store; the run itself will report it
        faults.count(f"checkpoint not read: {type(error).__name__}")
    return NOT_FOUND


def _before_the_edit(state: Any) -> Any:
    """Return the config of the previous checkpoint, if a user's edit made this one."""
    metadata = state.metadata or {}
    return None if KEY in metadata or metadata.get("source") not in _EDITED else state.parent_config


def _maker_of_checkpoint(state: Any, thread: str) -> str:
    """Return the trajectory of the run that made a checkpoint, or NOT_FOUND."""
    named, moment = _trajectory_in_metadata(state), _time_of_checkpoint(state)
    if named is not None or moment is None:
        return named or NOT_FOUND
    recent = thread_runs.recent_run_at(thread, moment)
    return recent or thread_runs.run_at(thread, moment) or NOT_FOUND


async def _maker_async(state: Any, thread: str) -> str:
    """Return the result of `_maker`; files are read in another thread."""
    named, moment = _trajectory_in_metadata(state), _time_of_checkpoint(state)
    if named is not None or moment is None:
        return named or NOT_FOUND
    recent = thread_runs.recent_run_at(thread, moment)
    if recent is None:
        recent = await asyncio.to_thread(thread_runs.run_at, thread, moment)
    return recent or NOT_FOUND


def _trajectory_in_metadata(state: Any) -> str | None:
    """Return the trajectory that an earlier version wrote into the checkpoint's metadata."""
    found = (state.metadata or {}).get(KEY)
    return found if isinstance(found, str) and found else None


def _time_of_checkpoint(state: Any) -> int | None:
    """Return the time of the checkpoint, in microseconds since 1970."""
    if not state.created_at:
        return None
    made = dt.datetime.fromisoformat(state.created_at).astimezone(dt.UTC)
    return (made - dt.datetime.fromtimestamp(0, dt.UTC)) // dt.timedelta(microseconds=1)
