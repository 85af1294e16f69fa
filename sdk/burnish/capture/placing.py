"""What all runs have in common: where they are, how they end once, how tries are counted.

Knows: ids, metadata and nesting of a run. Does not know: what kinds of runs say (nodes.py, models.py, tools.py).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from burnish.capture.live import Run, registry
from burnish.capture.requests import own_metadata, own_tags
from burnish.journal.events import Ref

_E = TypeVar("_E")
_SPAN_BITS = (1 << 64) - 1


def _span_of(run_id: Any) -> str:
    return f"{run_id.int & _SPAN_BITS:016x}"


def open_run(parent: Run, run_id: Any, kind: str, metadata: dict[str, Any]) -> Run:
    """A run below its parent, placed where its metadata says."""
    if parent.key == run_id:  # the wrapped runnable is itself a model or a tool
        span = f"{(run_id.int >> 64) & _SPAN_BITS ^ (run_id.int & _SPAN_BITS):016x}"
    else:
        span = _span_of(run_id)
    run = Run(parent.trajectory, parent, kind, span)
    if "langgraph_node" in metadata:
        run.node = metadata["langgraph_node"]
        run.step = metadata.get("langgraph_step")
        run.namespace = metadata.get("langgraph_checkpoint_ns")
    named = metadata.get("lc_agent_name")
    if named is not None and named != run.agent_name:
        run.agent_name = run.speaker = named
    return run


def closes(end: Callable[[Run, _E], None]) -> Callable[[Run, _E], None]:
    """End a run once; where saying how fails, it is still closed, and counted as a loss."""

    @functools.wraps(end)
    def close(run: Run, how: _E) -> None:
        trajectory = run.trajectory
        if isinstance(how, BaseException):
            trajectory.close_below(run, how)
        if not registry.remove(run):
            return
        try:
            end(run, how)
        except Exception:
            trajectory.losses["capture_fault"] = trajectory.losses.get("capture_fault", 0) + 1
            trajectory.cut(run, None)
            raise

    return close


def count_failure(run: Run) -> None:
    """A next start of the same thing will be its next try."""
    if run.parent is not None and run.retry_key is not None:
        run.parent.count_try(run.retry_key)


def close_bare(run: Run, status: str) -> None:
    """Where the wrapped runnable was itself this model or tool, the trajectory is over."""
    root = run.trajectory.root
    if run.parent is root and root.key == run.key:
        registry.end(run.trajectory, status)


def describe_run(run: Run, run_id: Any, about: dict[str, Any]) -> tuple[Ref, bytes] | None:
    """Facts that LangChain gives about any run: its id, and the user's tags and metadata."""
    extras: dict[str, Any] = {"run_id": str(run_id)}
    tags, metadata = own_tags(about.get("tags")), own_metadata(about.get("metadata"))
    if tags:
        extras["tags"] = tags
    if metadata:
        extras["metadata"] = metadata
    options = about.get("options")
    if options and len(options) > 1:
        structured = options.get("ls_structured_output_format")
        if structured:
            extras["structured_output"] = structured
    return run.trajectory.content.value(extras)


def is_control_flow(error: BaseException) -> bool:
    """Whether a graph uses this exception to go elsewhere: an interrupt or a hand-off."""
    return any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__)
