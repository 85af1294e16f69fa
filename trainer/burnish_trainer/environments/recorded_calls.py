"""Answer calls of tools with the results of a recorded run, by tool and canonical arguments."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from langchain_core.tools import ToolException

from burnish.journal.events import canonical
from burnish.records import ToolRun, Trajectory


class RecordedCalls:
    """The calls of a recorded run.

    A call that was recorded several times gets its results in their order, and the last one from then on.

    Args:
        trajectory: The run.
    """

    def __init__(self, trajectory: Trajectory) -> None:
        self.trajectory_id = trajectory.id
        self._results: defaultdict[bytes, list[ToolRun]] = defaultdict(list)
        self._used: defaultdict[bytes, int] = defaultdict(int)
        for call in trajectory.tool_runs:
            self._results[_key_of(call.name, call.arguments)].append(call)

    def __contains__(self, call: tuple[str, Any]) -> bool:
        return _key_of(*call) in self._results

    def take(self, tool: str, arguments: Any) -> Any:
        """Return the next recorded result of a call.

        Args:
            tool: Name of the tool.
            arguments: Arguments of the call.

        Raises:
            KeyError: The run made no such call.
            ToolException: The recorded call failed.
        """
        key = _key_of(tool, arguments)
        if key not in self._results:
            raise KeyError(tool)
        several = self._results[key]
        found = several[min(self._used[key], len(several) - 1)]
        self._used[key] += 1
        if found.is_error:
            told = found.result if found.result is not None else found.error and found.error.message
            raise ToolException(str(told))
        return found.result


def _key_of(tool: str, arguments: Any) -> bytes:
    return canonical([tool, arguments])
