"""Match invocations with runs that have not started yet.

LangChain assigns the id only at the start.

`Awaited` is the entry. LangGraph shows nodes the run id that its caller passed, so burnish never
passes an id of its own: the next run that starts in this context with the graph's input is the
graph's own run.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from burnish.capture.recorder.runs import LiveTrajectory, registry

_NEVER = object()


class Awaited:
    """The expected run of one invocation: the root of a trajectory, or a part of another one."""

    __slots__ = ("agent", "graph", "input", "key", "outer", "trajectory")

    def __init__(
        self, agent: str, graph: Any, input: Any, trajectory: LiveTrajectory | None
    ) -> None:
        self.agent = agent
        self.graph = graph
        self.input = input
        self.trajectory = trajectory  # None if it is part of another trajectory
        self.key: Any = None  # until it starts
        self.outer: Awaited | None = None  # other runs that are expected in this context

    def expect(self) -> None:
        """Expect the next run in this context with this input."""
        before = awaited.get()
        if before is not None and before.key is None:
            self.outer = before
        awaited.set(self)

    def start(self, key: Any) -> None:
        """Start under this id; a second call does nothing."""
        if self.key is not None:
            return
        self.key, self.input = key, _NEVER
        if self.trajectory is None:
            registry.expected[key] = self.agent
        else:
            registry.name(self.trajectory.root, key)

    def over(self) -> None:
        """End the invocation, also if no run has started."""
        if self.key is None:
            self.key = self.input = _NEVER
            if awaited.get() is self:
                awaited.set(self.outer)
        elif self.trajectory is None:
            registry.expected.pop(self.key, None)


awaited: ContextVar[Awaited | None] = ContextVar("burnish_awaited", default=None)
"""The graph whose run is expected in this context."""


def is_awaited(graph: Any) -> bool:
    """Return whether this graph was invoked here and its run has not started.

    Then one entry point of the graph calls another one.
    """
    here = awaited.get()
    return here is not None and here.key is None and here.graph is graph
