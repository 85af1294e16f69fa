"""Record nodes, sub-graphs and nested agents, which lie between an agent and its calls."""

from __future__ import annotations

from typing import Any

from burnish.capture.langchain.run_lifecycle import closes, is_control_flow, open_run
from burnish.capture.recorder import calls
from burnish.capture.recorder.runs import Run, registry


def start_node(
    parent: Run, key: int, name: str, tags: list[str] | None, metadata: dict[str, Any]
) -> None:
    """Record the start of a node, a sub-graph, a nested agent or another runnable."""
    run = open_run(parent, key, "node", metadata)
    nested = registry.expected.pop(key, None) if registry.expected else None
    if nested is not None:
        name = run.speaker = nested
    elif parent.kind == "node" and _is_node(tags):
        run.speaker = _speaker_of_graph(parent)
    calls.start_node(run, name)


def _is_node(tags: list[str] | None) -> bool:
    """Return whether the run is a node of a graph, so that its parent is that graph."""
    return any(tag.startswith("graph:step") for tag in tags or ())


def _speaker_of_graph(graph: Run) -> str | None:
    """Return the speaker inside a graph that runs in a node of another graph."""
    above = graph.parent
    if above is None or graph.speaker != above.speaker:
        return graph.speaker  # it has set the name itself
    return graph.place.node if graph.name == "LangGraph" else graph.name


def end_node(run: Run) -> None:
    """Record that it returned."""
    if registry.remove(run):
        calls.finish_node(run)


@closes
def fail_node(run: Run, error: BaseException) -> None:
    """Record that it raised, or was left by control flow."""
    bubbled = type(error).__name__ if is_control_flow(error) else None
    calls.fail_node(run, error, bubbled=bubbled)
