"""Nodes, sub-graphs, nested agents: what lies between an agent and its calls.

Knows: how a graph's callbacks tell them apart. Does not know: model calls and tools.
"""

from __future__ import annotations

import time
from typing import Any

from burnish.capture.live import Run, registry
from burnish.capture.placing import closes, is_control_flow, open_run
from burnish.journal.events import NodeEnded, NodeStarted


def start_node(parent: Run, key: int, about: dict[str, Any]) -> None:
    """A node, a sub-graph, a nested agent or another runnable starts."""
    metadata = about.get("metadata") or {}
    run = open_run(parent, key, "node", metadata)
    place = run.place
    run.name = name = about.get("name") or "runnable"
    nested = registry.expected.pop(key, None) if registry.expected else None
    if nested is not None:
        run.name = name = run.speaker = nested
    elif parent.kind == "node" and _is_node(about):
        run.speaker = _speaker_of_graph(parent)
    run.attempt = parent.attempt - 1 + parent.count_try((name, place.namespace))
    registry.add(run)
    run.trajectory.waiting.append(
        NodeStarted(
            at=time.time_ns(),
            trajectory=run.trajectory.id,
            span=run.span,
            parent=parent.span,
            name=name,
            node=place.node,
            step=place.step,
            namespace=place.namespace,
            attempt=run.attempt,
            speaker=run.speaker,
        )
    )


def _is_node(about: dict[str, Any]) -> bool:
    """Whether the run is a node of a graph, so that its parent is that graph."""
    return any(tag.startswith("graph:step") for tag in about.get("tags") or ())


def _speaker_of_graph(graph: Run) -> str | None:
    """Who speaks inside a graph that runs in a node of another."""
    above = graph.parent
    if above is None or graph.speaker != above.speaker:
        return graph.speaker  # it has said so itself
    return graph.place.node if graph.name == "LangGraph" else graph.name


@closes
def end_node(run: Run, error: BaseException | None) -> None:
    """It returned, raised, or was left by control flow."""
    bubbled = None
    name = words = None
    if error is not None:
        run.trajectory.close_below(run, error)
        if is_control_flow(error):
            bubbled = type(error).__name__
        else:
            name, words = run.trajectory.describe(error)
    run.trajectory.waiting.append(
        NodeEnded(
            at=time.time_ns(),
            trajectory=run.trajectory.id,
            span=run.span,
            error_type=name,
            error=words,
            bubbled=bubbled,
        )
    )
