"""Invocations whose run has not started yet: LangChain gives it an id only then.

Knows: whose run the next one that starts here is. Does not know: how an invocation is recorded.

LangGraph shows nodes the run id that its caller gave, so a graph is never given one of ours: the
next run that starts with its input, where the graph was invoked, is the graph's own.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from burnish.capture.recorder.runs import LiveTrajectory, registry

_NEVER = object()


class Awaited:
    """The run of one invocation: the root of a trajectory, or a part of another's."""

    __slots__ = ("agent", "graph", "input", "key", "outer", "trajectory")

    def __init__(
        self, agent: str, graph: Any, input: Any, trajectory: LiveTrajectory | None
    ) -> None:
        self.agent = agent
        self.graph = graph
        self.input = input
        self.trajectory = trajectory  # None where it is a part of another's
        self.key: Any = None  # until it starts
        self.outer: Awaited | None = None  # what is awaited here besides

    def expect(self) -> None:
        """Let it be the next run that starts here with its input."""
        before = awaited.get()
        if before is not None and before.key is None:
            self.outer = before
        awaited.set(self)

    def start(self, key: Any) -> None:
        """It starts under this id; a second time does nothing."""
        if self.key is not None:
            return
        self.key, self.input = key, _NEVER
        if self.trajectory is None:
            registry.expected[key] = self.agent
        else:
            registry.name(self.trajectory.root, key)

    def over(self) -> None:
        """The invocation is over, also where nothing of it has started."""
        if self.key is None:
            self.key = self.input = _NEVER
            if awaited.get() is self:
                awaited.set(self.outer)
        elif self.trajectory is None:
            registry.expected.pop(self.key, None)


awaited: ContextVar[Awaited | None] = ContextVar("burnish_awaited", default=None)
"""The graph whose run is to start here."""


def is_awaited(graph: Any) -> bool:
    """Return whether this very graph was invoked here and has not started: an entry point calls another."""
    here = awaited.get()
    return here is not None and here.key is None and here.graph is graph
