"""Open and close runs of any kind, once each, and count retries.

`open_run` and `closes` handle ids, metadata and nesting; `nodes`, `models` and `tools` record what
is specific to a kind.
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
    """Open a run below its parent, at the place that its metadata gives."""
    low = key & _SPAN_BITS
    if parent.key == key:  # the wrapped runnable is itself a model or a tool
        low ^= key >> 64
    run = Run(parent, kind, key, low.to_bytes(8, "big").hex())
    namespace = metadata.get("langgraph_checkpoint_ns")  # identifies one execution of a node
    if namespace is not None and namespace != run.place.namespace:
        node, step = metadata.get("langgraph_node"), metadata.get("langgraph_step")
        run.place = GraphPosition(node, step, namespace)
    named = metadata.get("lc_agent_name")
    if named is not None and named != run.agent_name:
        run.agent_name = run.speaker = named
    return run


def closes(end: Callable[[Run, _E], None]) -> Callable[[Run, _E], None]:
    """Close a run once; if recording its end fails, it is closed anyway and counted as a loss."""

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
    """End the trajectory if the wrapped runnable is itself this model or tool."""
    root = run.trajectory.root
    if run.parent is root and root.key == run.key:
        registry.end(run.trajectory, status)


def run_id_of(key: int) -> bytes:
    """Convert LangChain's id of a run to the journal's form."""
    return key.to_bytes(16, "big")


def about_run(
    tags: list[str] | None, metadata: dict[str, Any] | None, options: Any = None
) -> dict[str, Any] | None:
    """Return tags and metadata that the user passed with a run; None without any."""
    named: dict[str, Any] = {}
    if tags and (own := own_tags(tags)):
        named["tags"] = own
    if metadata and (own := own_metadata(metadata)):
        named["metadata"] = own
    if options and (structured := options.get("ls_structured_output_format")):
        named["structured_output"] = structured
    return named or None


def is_control_flow(error: BaseException) -> bool:
    """Return whether a graph uses this exception for control flow: an interrupt or a hand-off."""
    return any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__)
