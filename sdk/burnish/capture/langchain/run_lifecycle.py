"""What all runs have in common: where they are, how they end once, how tries are counted.

Knows: ids, metadata and nesting of a run. Does not know: what kinds of runs say (nodes.py, models.py, tools.py).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from burnish.capture.content.request_parameters import own_metadata, own_tags
from burnish.capture.recorder.runs import GraphPosition, Run, registry

_E = TypeVar("_E")
_SPAN_BITS = (1 << 64) - 1


def open_run(parent: Run, key: int, kind: str, metadata: dict[str, Any]) -> Run:
    """A run below its parent, placed where its metadata says."""
    low = key & _SPAN_BITS
    if parent.key == key:  # the wrapped runnable is itself a model or a tool
        low ^= key >> 64
    run = Run(parent, kind, key, f"{low:016x}")
    namespace = metadata.get("langgraph_checkpoint_ns")  # names one execution of a node
    if namespace is not None and namespace != run.place.namespace:
        node, step = metadata.get("langgraph_node"), metadata.get("langgraph_step")
        run.place = GraphPosition(node, step, namespace)
    named = metadata.get("lc_agent_name")
    if named is not None and named != run.agent_name:
        run.agent_name = run.speaker = named
    return run


def closes(end: Callable[[Run, _E], None]) -> Callable[[Run, _E], None]:
    """End a run once; where saying how fails, it is still closed, and counted as a loss."""

    @functools.wraps(end)
    def close(run: Run, how: _E) -> None:
        if not registry.remove(run):
            return
        try:
            end(run, how)
        except Exception:
            trajectory = run.trajectory
            trajectory.losses["capture_fault"] = trajectory.losses.get("capture_fault", 0) + 1
            trajectory.cut(run, None)
            raise

    return close


def close_bare(run: Run, status: str) -> None:
    """Where the wrapped runnable was itself this model or tool, the trajectory is over."""
    root = run.trajectory.root
    if run.parent is root and root.key == run.key:
        registry.end(run.trajectory, status)


def run_id_of(key: int) -> bytes:
    """LangChain's id of a run, as the journal keeps it."""
    return key.to_bytes(16, "big")


def about_run(about: dict[str, Any]) -> dict[str, Any] | None:
    """What the user gave along with a run: tags and metadata; None where there is nothing."""
    tags = own_tags(about.get("tags"))
    metadata = own_metadata(about.get("metadata"))
    options = about.get("options")
    structured = options and options.get("ls_structured_output_format")
    if not (tags or metadata or structured):
        return None
    named = {"tags": tags, "metadata": metadata, "structured_output": structured}
    return {name: value for name, value in named.items() if value}


def is_control_flow(error: BaseException) -> bool:
    """Return whether a graph uses this exception to go elsewhere: an interrupt or a hand-off."""
    return any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__)
