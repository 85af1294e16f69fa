"""Which trajectory an invocation takes up again.

Knows: what a resumed graph looks like, and where LangGraph keeps our id: each checkpoint stores the
plain values of `configurable` in its metadata. Does not know: events.
"""

from __future__ import annotations

from typing import Any

from burnish.capture import faults

KEY = "burnish_trajectory"
"""Key of the trajectory's id in `configurable`, and so in the metadata of each checkpoint."""
NOT_FOUND = "-"
"""The checkpoint was read and names no trajectory."""
_CHECKPOINTER = "__pregel_checkpointer"
_EDITED = ("update", "fork")  # checkpoints of `update_state`, which keep no id
_EDITS = 100  # how many edits in a row are looked behind


def configurable_of(graph: Any, config: dict[str, Any]) -> dict[str, Any]:
    """`configurable` as the graph will see it."""
    bound = getattr(graph, "config", None)
    own = bound.get("configurable") if isinstance(bound, dict) else None
    given = config.get("configurable")
    if not own:
        return given or {}
    return {**own, **(given or {})}


def keeps_checkpoints(graph: Any, configurable: dict[str, Any]) -> bool:
    """Whether there is a checkpointer that would keep our id."""
    found = configurable.get(_CHECKPOINTER, getattr(graph, "checkpointer", None))
    return found is not None and found is not False


def is_resume(input: Any, configurable: dict[str, Any]) -> bool:
    """Whether the input goes on with something instead of starting it."""
    if input is None or configurable.get("checkpoint_id") is not None:
        return configurable.get("thread_id") is not None
    return type(input).__name__ == "Command" and getattr(input, "resume", None) is not None


def readable_input(input: Any) -> Any:
    """The input of an invocation as it is recorded."""
    if type(input).__name__ == "Command":
        given = {name: getattr(input, name, None) for name in ("resume", "update", "goto")}
        return {name: value for name, value in given.items() if value is not None and value != ()}
    return input


def shows_configs(stream_mode: Any) -> bool:
    """Whether a stream in this mode shows the configs of checkpoints."""
    modes = (stream_mode,) if isinstance(stream_mode, str) else stream_mode or ()
    return any(mode in ("debug", "checkpoints") for mode in modes)


def conceal(chunk: Any) -> Any:
    """The chunk of such a stream without our key, as it would be without us."""
    if isinstance(chunk, tuple):
        for item in chunk:
            conceal(item)
    elif isinstance(chunk, dict):
        for name in ("config", "parent_config"):
            config = chunk.get(name)
            if isinstance(config, dict) and isinstance(config.get("configurable"), dict):
                config["configurable"].pop(KEY, None)
        for name in ("payload", "data"):
            conceal(chunk.get(name))
    return chunk


def trajectory_of_checkpoint(
    graph: Any, config: dict[str, Any], configurable: dict[str, Any]
) -> str | None:
    """The trajectory that the checkpoint belongs to, or NOT_FOUND."""
    if not keeps_checkpoints(graph, configurable) or not hasattr(graph, "get_state"):
        return NOT_FOUND
    place: Any = {"configurable": dict(config.get("configurable") or {})}
    try:
        for _ in range(_EDITS):
            state = graph.get_state(place)
            place = _before_the_edit(state)
            if place is None:
                return _named(state)
    except Exception as error:  # noqa: BLE001 - the user's store; the run itself will tell
        faults.count(f"checkpoint not read: {type(error).__name__}")
    return NOT_FOUND


async def trajectory_of_checkpoint_async(
    graph: Any, input: Any, config: dict[str, Any] | None
) -> str | None:
    """As `trajectory_of_checkpoint`, for an asynchronous checkpointer; None if it is no resume."""
    given = dict(config or {})
    configurable = configurable_of(graph, given)
    if not is_resume(input, configurable) or not hasattr(graph, "aget_state"):
        return None
    if not keeps_checkpoints(graph, configurable):
        return NOT_FOUND
    place: Any = {"configurable": dict(given.get("configurable") or {})}
    try:
        for _ in range(_EDITS):
            state = await graph.aget_state(place)
            place = _before_the_edit(state)
            if place is None:
                return _named(state)
    except Exception as error:  # noqa: BLE001 - the user's store; the run itself will tell
        faults.count(f"checkpoint not read: {type(error).__name__}")
    return NOT_FOUND


def _before_the_edit(state: Any) -> Any:
    """The config of the checkpoint before, where this one was made by a person's edit."""
    metadata = state.metadata or {}
    return None if KEY in metadata or metadata.get("source") not in _EDITED else state.parent_config


def _named(state: Any) -> str:
    found = (state.metadata or {}).get(KEY)
    return found if isinstance(found, str) and found else NOT_FOUND
