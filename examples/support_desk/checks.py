"""Judge an attempt by the database it left, its answer and its calls.

`reached_goal` checks the goal of each kind of task. `claims_success` reads only the agent's own
words, to show why they must not be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from desk import DESKS, Desk
from tasks import task_of


class Run(Protocol):
    """A recorded call of a tool."""

    @property
    def name(self) -> str:
        """Name of the tool."""
        ...

    @property
    def arguments(self) -> Any:
        """Arguments of the call; a dictionary if the model wrote one."""
        ...


class Attempt(Protocol):
    """The parts of a recorded attempt that the checks read."""

    @property
    def task_id(self) -> str | None:
        """Id of the attempted task."""
        ...

    @property
    def answer(self) -> str | None:
        """Final answer of the agent."""
        ...

    @property
    def tool_runs(self) -> Any:
        """Its tool calls, in order."""
        ...


@dataclass(frozen=True)
class Goal:
    """End of a right attempt.

    Attributes:
        answer: The exact answer.
        calls: Number of needed tool calls; further calls are needless.
        source: The call whose result the answer rests on, if any; a right guess is not a success.
        acts_on: The item that must be changed, if any; no other item may change.
    """

    answer: str
    calls: int
    source: tuple[str, dict[str, Any]] | None = None
    acts_on: int | None = None


def goal_of(task: dict[str, Any]) -> Goal:
    """Return the goal of a task, computed from the records on file when it started."""
    desk, about, items = DESKS[task["desk"]], task["about"], task["records"]["items"]
    find, list_all, get, _ = desk.tool_names
    own = [item for item in items if item["person"] == about["person"]]
    named = next(item for item in items if item["id"] == about["number"])
    look = (get, {desk.item: named["id"]})
    match task["kind"]:
        case "field":
            return Goal(f"Done: {named[about['field']]}", 1, look)
        case "count":
            return Goal(f"Done: {len(own)}", 2, (list_all, {desk.person: about["person"]}))
        case "latest":
            newest = own[-1]
            return Goal(f"Done: {newest[about['field']]}", 3, (get, {desk.item: newest["id"]}))
        case "act" if named["status"] == "open":
            return Goal("Done: ok", 2, look, acts_on=named["id"])
        case "act":
            return Goal(f"Sorry: {desk.blocked}", 1, look)
        case "recover":
            return Goal(f"Done: {about['person']}", 2, (find, {"card": about["card"]}))
        case "refuse":
            return Goal("Sorry: not allowed", 0)
        case kind:
            raise ValueError(f"no kind {kind!r} of task")


def reached_goal(trajectory: Attempt, final_state: Any) -> bool:
    """Return whether the attempt did exactly what its task asks.

    The final database must be exactly the goal's, the answer exact and looked up, each item read
    before it was changed, and no needless call made.

    Args:
        trajectory: The recorded attempt.
        final_state: `Environment.state()` at its end.
    """
    if trajectory.task_id is None:
        raise ValueError("the attempt names no task, so there is no goal to check")
    task = task_of(trajectory.task_id)
    goal, desk = goal_of(task), DESKS[task["desk"]]
    return (
        final_state == _state_at(task, goal)
        and (trajectory.answer or "").strip() == goal.answer
        and len(trajectory.tool_runs) <= goal.calls
        and (goal.source is None or any(_made(run, *goal.source) for run in trajectory.tool_runs))
        and _looked_first(desk, trajectory.tool_runs)
    )


def claims_success(trajectory: Attempt, final_state: Any) -> bool:
    """Return whether the agent claims success. A claim proves nothing; it is here to show the cost of trusting it."""
    del final_state
    return (trajectory.answer or "").startswith("Done")


def _state_at(task: dict[str, Any], goal: Goal) -> dict[str, Any]:
    items = [{**item, "done": int(item["id"] == goal.acts_on)} for item in task["records"]["items"]]
    return {"desk": task["desk"], "people": task["records"]["people"], "items": items}


def _made(run: Run, name: str, arguments: dict[str, Any]) -> bool:
    """Return whether a recorded call is this one; arguments that are None are ignored."""
    given = run.arguments if isinstance(run.arguments, dict) else {}
    return run.name == name and {k: v for k, v in given.items() if v is not None} == arguments


def _looked_first(desk: Desk, runs: Any) -> bool:
    """Return whether each item was read before it was changed."""
    _, _, get, act = desk.tool_names
    seen: set[Any] = set()
    for run in runs:
        item = run.arguments.get(desk.item) if isinstance(run.arguments, dict) else None
        if run.name == get:
            seen.add(item)
        elif run.name == act and item not in seen:
            return False
    return True
