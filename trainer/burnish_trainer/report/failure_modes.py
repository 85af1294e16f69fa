"""Name the ways in which failed runs failed.

`name_failure_modes` gives all classes that fit a run, the most specific first; `count_failure_modes` counts the first
of each run. A class is decided by what was recorded: calls, results, replies, the end of the run. Successful runs of the
same task, where there are any, show which tools and arguments the task needs. Nothing is asked of a model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.journal.events import canonical
from burnish.records import ToolRun, Trajectory
from burnish_exporters.curate.steps.luck import Observations, claims_of

FAILURE_MODES = {
    "repeats_broken_call": "makes the same failing call again, and it never succeeds",
    "apology_loop": "apologises again and again instead of acting",
    "over_iterates": "ends at a limit of steps, or repeats calls that already succeeded",
    "wrong_tool": "calls a tool that was not offered, or none of the tools that the task needs",
    "wrong_argument": "calls the right tool with arguments that it refuses, or that the task does not need",
    "fabricated_answer": "states facts that are neither in the request nor in a result",
    "unneeded_tool": "calls tools that no successful run of the task calls",
    "ignores_result": "answers without what its calls found",
    "stops_early": "ends before the calls that the task needs, or with an announcement instead of an act",
    "other": "none of the above",
}
"""The classes with their meaning, the most specific first."""

_APOLOGY = re.compile(
    r"\b(sorry|apolog\w+|my mistake|forgive|unfortunately|es tut mir leid|entschuldig\w*|désolé\w*|lo siento|perdón)\b",
    re.IGNORECASE,
)
_ANNOUNCEMENT = re.compile(
    r"\b(I will|I'll|I am going to|I'm going to|let me|next,? I|one moment|please wait|ich werde|je vais|voy a)\b",
    re.IGNORECASE,
)
_ARGUMENT_ERROR = re.compile(
    r"validation ?error|invalid (argument|input|parameter|value|type)|missing \d* ?(required )?(argument|parameter|field|positional)"
    r"|unexpected keyword|field required|required (argument|parameter|property|field)|must be (a|an|one of)\b|not a valid"
    r"|schema|cannot parse|could not parse|badly formed|malformed",
    re.IGNORECASE,
)
_UNKNOWN_TOOL = re.compile(
    r"not a valid tool|unknown tool|no such tool|tool .{0,40}not found", re.IGNORECASE
)
_LIMIT = re.compile(
    r"recursion limit|recursionerror|max(imum)?[ _]?(steps|iterations|turns)|more than \d+ times|iteration limit",
    re.IGNORECASE,
)
_FAILED_TEXT = re.compile(r"^\W*(error|exception|failed|traceback|fatal)\b", re.IGNORECASE)
_REPEATS = 3  # of a call that succeeded


@dataclass(frozen=True, slots=True)
class _MadeCall:
    """A tool call with its result."""

    tool: str
    key: tuple[str, bytes]
    failed: bool
    said: str


@dataclass(frozen=True, slots=True)
class _FailedRun:
    """A failed run with its calls, its replies, and the calls of the successful runs of its task."""

    trajectory: Trajectory
    calls: Sequence[_MadeCall]
    replies: Sequence[str]
    needed: Sequence[Sequence[_MadeCall]]

    @property
    def answer(self) -> str:
        return self.trajectory.answer or ""

    @property
    def needed_tools(self) -> set[str]:
        """The tools that each successful run calls; empty without such a run."""
        sets = [{call.tool for call in calls} for calls in self.needed]
        return set.intersection(*sets) if sets else set()

    @property
    def known_tools(self) -> set[str]:
        """The tools that any successful run calls."""
        return {call.tool for calls in self.needed for call in calls}


def name_failure_modes(trajectory: Trajectory, successes: Sequence[Trajectory] = ()) -> list[str]:
    """Return the classes of a failed run, the most specific first; `other` if none fits.

    Args:
        trajectory: The failed run.
        successes: Successful runs of the same task.
    """
    run = _FailedRun(
        trajectory,
        _read_calls(trajectory),
        _read_replies(trajectory),
        [_read_calls(one) for one in successes],
    )
    found = [name for name, check in _CHECKS.items() if check(run)]
    return found or ["other"]


def count_failure_modes(
    failed: Iterable[Trajectory], successes: Mapping[str | None, Sequence[Trajectory]]
) -> dict[str, int]:
    """Count failed runs by their first class, in the order of `FAILURE_MODES`.

    Args:
        failed: The failed runs.
        successes: Successful runs by task.
    """
    counts = Counter(name_failure_modes(run, successes.get(run.task_id, ()))[0] for run in failed)
    return {name: counts[name] for name in FAILURE_MODES if counts[name]}


def _read_calls(trajectory: Trajectory) -> list[_MadeCall]:
    calls: list[_MadeCall] = []
    for run in trajectory.tool_runs:
        said = run.result if isinstance(run.result, str) else str(run.result or "")
        if run.error is not None:
            said = f"{run.error.type}: {run.error.message}"
        key = (run.name, canonical(run.arguments))
        calls.append(_MadeCall(run.name, key, has_failed(run), said))
    return calls


def has_failed(run: ToolRun) -> bool:
    """Return whether a tool raised, reported an error, or gave back a text or a status that is an error."""
    if run.is_error or run.error is not None:
        return True
    result = run.result
    if isinstance(result, dict):
        code = result.get("exit_code", result.get("returncode"))
        return bool(result.get("error")) or (isinstance(code, int) and code != 0)
    return isinstance(result, str) and bool(_FAILED_TEXT.match(result))


def _read_replies(trajectory: Trajectory) -> list[str]:
    return [_reply_text(call.reply) for call in trajectory.model_calls if call.reply is not None]


def _reply_text(reply: Mapping[str, Any]) -> str:
    parts = reply.get("parts") or ()
    return " ".join(str(part["content"]) for part in parts if part.get("type") == "text")


def _repeats_broken_call(run: _FailedRun) -> bool:
    failed = Counter(call.key for call in run.calls if call.failed)
    succeeded = {call.key for call in run.calls if not call.failed}
    return any(count > 1 and key not in succeeded for key, count in failed.items())


def _apology_loop(run: _FailedRun) -> bool:
    """At least two replies apologise, half of all, and the last one is among them."""
    sorry = [bool(_APOLOGY.search(text)) for text in run.replies]
    return sum(sorry) > 1 and sorry[-1] and 2 * sum(sorry) >= len(sorry)


def _over_iterates(run: _FailedRun) -> bool:
    error = run.trajectory.error
    if error is not None and _LIMIT.search(f"{error.type} {error.message}"):
        return True
    succeeded = Counter(call.key for call in run.calls if not call.failed)
    if any(count >= _REPEATS for count in succeeded.values()):
        return True
    most = max((len(calls) for calls in run.needed), default=None)
    return most is not None and len(run.calls) > 2 * most + 2


def _wrong_tool(run: _FailedRun) -> bool:
    if any(call.failed and _UNKNOWN_TOOL.search(call.said) for call in run.calls):
        return True
    offered = {
        name for call in run.trajectory.model_calls for tool in call.tools for name in _names(tool)
    }
    called = {call.tool for call in run.calls}
    if offered and called - offered:
        return True
    return bool(called and run.needed_tools and not called & run.known_tools)


def _names(tool: Mapping[str, Any]) -> list[str]:
    """The name of a tool definition, flat or under `function`."""
    inner = tool.get("function")
    name = inner.get("name") if isinstance(inner, dict) else tool.get("name")
    return [name] if isinstance(name, str) else []


def _wrong_argument(run: _FailedRun) -> bool:
    if any(call.failed and _ARGUMENT_ERROR.search(call.said) for call in run.calls):
        return True
    if not run.needed:
        return False
    shared = set.intersection(*({call.key for call in calls} for calls in run.needed))
    made = {call.key for call in run.calls}
    tools = {call.tool for call in run.calls}
    # A tool that each success calls in the same way was called, and in another way only.
    return any(
        tool in tools and not made & {key for key in shared if key[0] == tool}
        for tool in {key[0] for key in shared}
    )


def _fabricated_answer(run: _FailedRun) -> bool:
    """No fact of the answer that the request does not give is in a result; there is at least one."""
    claims = claims_of(run.trajectory)
    if not claims or not any(any(char.isdigit() for char in claim) for claim in claims):
        return False
    seen = Observations(run.trajectory)
    return not any(claim in seen for claim in claims)


def _unneeded_tool(run: _FailedRun) -> bool:
    return bool(run.needed) and bool({call.tool for call in run.calls} - run.known_tools)


def _ignores_result(run: _FailedRun) -> bool:
    """Calls succeeded and found something, and the answer states nothing of it."""
    useful = [call for call in run.calls if not call.failed and call.said.strip()]
    if not useful or not run.answer.strip() or _ANNOUNCEMENT.search(run.answer):
        return False
    if run.needed_tools - {call.tool for call in run.calls}:
        return False  # it had not found all of it yet
    seen = Observations(run.trajectory)
    return not any(claim in seen for claim in claims_of(run.trajectory))


def _stops_early(run: _FailedRun) -> bool:
    last = run.trajectory.model_calls[-1] if run.trajectory.model_calls else None
    if last is not None and last.finish_reason in ("length", "max_tokens", "MAX_TOKENS"):
        return True
    if run.trajectory.status == "completed" and not run.answer.strip():
        return True
    if run.needed_tools - {call.tool for call in run.calls}:
        return True
    return run.trajectory.status == "completed" and bool(_ANNOUNCEMENT.search(run.answer))


_CHECKS = {
    "repeats_broken_call": _repeats_broken_call,
    "apology_loop": _apology_loop,
    "over_iterates": _over_iterates,
    "wrong_tool": _wrong_tool,
    "wrong_argument": _wrong_argument,
    "fabricated_answer": _fabricated_answer,
    "unneeded_tool": _unneeded_tool,
    "ignores_result": _ignores_result,
    "stops_early": _stops_early,
}
