"""Provide the environments replay and shadow.

- *replay*: every call of a tool gets the result that the task's original run recorded; a call that it did not make ends
  the attempt as unknown, because what the tool would answer is not known.
- *shadow*: tools that only read run for real, on copies of production inputs; tools that write (`writing_tools` in
  burnish.toml) are replayed where the original run made the same call, and end the attempt as unknown elsewhere.

A task names its original run with the key `origin`: the id of a trajectory.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import burnish
from burnish.errors import EvaluationError
from burnish.records import Json
from burnish_trainer.environments.recorded_calls import RecordedCalls
from burnish_trainer.environments.tool_calls import Answer, install_interception, interceptor


class ReplayEnvironment:
    """Answers every tool from the recorded run of the task.

    Args:
        workspace: Holds the recorded runs.

    Attributes:
        undecided: Why the attempt cannot be judged; None while it can.
    """

    def __init__(self, workspace: burnish.Workspace) -> None:
        self.undecided: str | None = None
        self._workspace = workspace
        self._recorded: RecordedCalls | None = None
        self._calls: list[Json] = []
        self._final: Json = None

    def open(self, task: dict[str, Json]) -> None:
        """Read the task's original run, and answer the tools of this context from it.

        Raises:
            EvaluationError: The task names no run.
            WorkspaceError: The workspace does not hold it.
        """
        origin = read_origin(task)
        if origin is not None:
            self._recorded = RecordedCalls(self._workspace.trajectory(origin))
        elif self.needs_origin:
            raise EvaluationError(
                f"task {task.get('id')!r} names no run to replay",
                "the key origin, with the id of a trajectory",
                "burnish traces list",
            )
        install_interception()
        interceptor.set(self)

    @property
    def needs_origin(self) -> bool:
        """Return whether a task without an original run cannot be attempted."""
        return True

    def takes_over(self, tool: str) -> bool:
        """Return whether calls of a tool are answered from the recorded run.

        Args:
            tool: Name of the tool.
        """
        return True

    def answer_for(self, tool: str, arguments: Any) -> Answer | None:
        """Return a function that answers a call; None lets the tool run.

        Args:
            tool: Name of the tool.
            arguments: Arguments of the call.
        """
        if not self.takes_over(tool):
            self._calls.append({"tool": tool, "arguments": arguments, "answered": "live"})
            return None
        return lambda: self._answer(tool, arguments)

    def _answer(self, tool: str, arguments: Any) -> Any:
        if self._recorded is None or (tool, arguments) not in self._recorded:
            origin = self._recorded.trajectory_id if self._recorded else "no run"
            self.undecided = (
                f"the call {tool}({str(arguments)[:120]}) is not in the recorded run ({origin})"
            )
            raise EvaluationError(self.undecided, "a call of the recorded run")
        self._calls.append({"tool": tool, "arguments": arguments, "answered": "recorded"})
        return self._recorded.take(tool, arguments)

    def state(self) -> Json:
        """Return the calls so far: tool, arguments, and who answered."""
        return {"calls": list(self._calls)}

    def close(self) -> None:
        """Let the tools of this context run again."""
        interceptor.set(None)


class ShadowEnvironment(ReplayEnvironment):
    """Lets tools that read run, and answers those that write from the recorded run.

    Args:
        workspace: Holds the recorded runs.
        writing_tools: Names of the tools that write.
    """

    def __init__(self, workspace: burnish.Workspace, writing_tools: Collection[str]) -> None:
        super().__init__(workspace)
        self._writing = frozenset(writing_tools)

    @property
    def needs_origin(self) -> bool:
        """Return False: without an original run each writing call is blocked."""
        return False

    def takes_over(self, tool: str) -> bool:
        """Return whether a tool writes.

        Args:
            tool: Name of the tool.
        """
        return tool in self._writing


def open_built_in(
    name: str, workspace: burnish.Workspace, writing_tools: Collection[str]
) -> ReplayEnvironment | None:
    """Return a new built-in environment; None for "live", where tools run as in production.

    Args:
        name: live, replay or shadow.
        workspace: Holds the recorded runs.
        writing_tools: Names of the tools that write.

    Raises:
        EvaluationError: "shadow" is named without the tools that write.
    """
    if name == "live":
        return None
    if name == "replay":
        return ReplayEnvironment(workspace)
    if not writing_tools:
        raise EvaluationError(
            'environment = "shadow" and no tool that writes is named',
            'writing_tools = ["cancel_order"]',
            "name all tools that change something in [agent.NAME] of burnish.toml",
        )
    return ShadowEnvironment(workspace, writing_tools)


def read_origin(task: dict[str, Json]) -> str | None:
    """Return the id of the run that a task was made from; None if it names none.

    Args:
        task: The task's data.
    """
    origin = task.get("origin")
    if isinstance(origin, dict):
        origin = origin.get("trajectory") or origin.get("trajectory_id")
    return origin if isinstance(origin, str) and origin else None
