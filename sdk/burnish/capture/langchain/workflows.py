"""Classify a runnable as an agent or a workflow.

An agent decides itself when it is done: its graph has a cycle, or its next steps are not known
beforehand. A workflow follows a fixed path: its graph has no cycle.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

AGENT, WORKFLOW = "invoke_agent", "invoke_workflow"
_known: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def operation_of(runnable: Any) -> str:
    """Return the conventions' operation name for an invocation of this runnable."""
    builder = getattr(runnable, "builder", None)
    if builder is None:
        return AGENT
    try:
        known = _known.get(builder)
        if known is None:
            known = _known[builder] = WORKFLOW if _is_laid_down(builder) else AGENT
    except (TypeError, AttributeError):  # a builder of another form
        return AGENT
    return known


def _is_laid_down(builder: Any) -> bool:
    ways = _edges_of_graph(builder)
    if ways is None:
        return False
    done: set[str] = set()

    def leads_back(node: str, path: frozenset[str]) -> bool:
        if node in path:
            return True
        if node in done:
            return False
        found = any(leads_back(after, path | {node}) for after in ways.get(node, ()))
        done.add(node)
        return found

    return not any(leads_back(node, frozenset()) for node in list(ways))


def _edges_of_graph(builder: Any) -> dict[str, set[str]] | None:
    """Return the possible successors of each node; None if they are not known beforehand."""
    ways: dict[str, set[str]] = {}
    for before, after in builder.edges:
        ways.setdefault(before, set()).add(after)
    for earlier, after in builder.waiting_edges:
        for before in earlier:
            ways.setdefault(before, set()).add(after)
    for before, branches in builder.branches.items():
        for branch in branches.values():
            if branch.ends is None:
                return None
            ends = branch.ends
            ways.setdefault(before, set()).update(
                ends.values() if isinstance(ends, Mapping) else ends
            )
    for name, node in builder.nodes.items():
        ends = getattr(node, "ends", ())
        ways.setdefault(name, set()).update(ends)
    return ways
