"""Write demonstrations for the starter: right solutions, mixed with bad habits.

`chosen_way()` draws a solution, and `conversation()` runs it as chat messages. tasks.py of the
example project checks goals; curriculum.py turns conversations into tokens.

Three choices keep the model's success rate in the middle. The rate of mistakes depends on the
phrasing, or else the greedy model would always or never show a habit. One habit per kind is far
more frequent than the other, because spread-out mistakes lose against the right solution. A
frequent habit differs from the right solution in one token (answer or call), never in a number:
between two numbers a small model mixes the digits and produces neither.
"""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from typing import Any

from burnish_trainer.starter.world import project_module

Call = tuple[str, dict[str, Any]]

FREQUENT = 0.8
OPENING_LOGITS = (0.9, 0.3, -0.3, -0.9, -2.6)
WORDING_LOGITS = (0.6, 0.2, -0.2, -0.6, 0.1, -0.1)
KIND_LOGITS = {
    "field": -0.1,
    "count": -0.1,
    "latest": -0.3,
    "act": -0.3,
    "recover": -0.3,
    "refuse": 0.2,
}


@dataclass(frozen=True)
class TaskSolution:
    """A solution of a task: its tool calls in order, and the answer."""

    calls: tuple[Call, ...]
    answer: str


def mistake_rate(kind: str, phrasing: tuple[int, int], shift: float = 0.0) -> float:
    """Return the share of demonstrations of this phrasing that show a bad habit, 0 to 1.

    Args:
        kind: Kind of the task.
        phrasing: Opening and wording of the request.
        shift: Added to the logit of the rate: more habits above 0, fewer below.
    """
    opening, wording = phrasing
    logit = OPENING_LOGITS[opening] + WORDING_LOGITS[wording] + KIND_LOGITS[kind] + shift
    return 1 / (1 + math.exp(-logit))


def _parts(
    task: dict[str, Any],
) -> tuple[Any, dict[str, Any], dict[int, dict[str, Any]], list[int]]:
    """Return the desk, the subject of the request, all items by id, and the ids of the asker's items."""
    desk, about = project_module("desk").DESKS[task["desk"]], task["about"]
    items = {item["id"]: item for item in task["records"]["items"]}
    own = [number for number, item in items.items() if item["person"] == about["person"]]
    return desk, about, items, own


def right_way(task: dict[str, Any]) -> TaskSolution:
    """Return the solution that reaches the task's goal without a needless call."""
    desk, about, items, own = _parts(task)
    find, list_all, get, act = desk.tool_names
    number, field = about["number"], about["field"]
    by_name: Call = (find, {"name": about["name"]})
    listed: Call = (list_all, {desk.person: about["person"]})
    look: Call = (get, {desk.item: number})
    match task["kind"]:
        case "field":
            return TaskSolution((look,), f"Done: {items[number][field]}")
        case "count":
            return TaskSolution((by_name, listed), f"Done: {len(own)}")
        case "latest":
            newest: Call = (get, {desk.item: own[-1]})
            return TaskSolution((by_name, listed, newest), f"Done: {items[own[-1]][field]}")
        case "act" if items[number]["status"] == "open":
            return TaskSolution((look, (act, {desk.item: number})), "Done: ok")
        case "act":
            return TaskSolution((look,), f"Sorry: {desk.blocked}")
        case "recover":
            return TaskSolution(
                (by_name, (find, {"card": about["card"]})), f"Done: {about['person']}"
            )
        case _:
            return TaskSolution((), "Sorry: not allowed")


def bad_habits(task: dict[str, Any], rng: random.Random) -> tuple[TaskSolution, TaskSolution]:
    """Return the frequent and the rare bad habit of the task's kind.

    Args:
        task: The task.
        rng: Random generator, for invented answers.
    """
    desk, about, items, own = _parts(task)
    find, _, get, act = desk.tool_names
    right = right_way(task)
    match task["kind"]:
        case "field":  # does not look; reads a fixed wrong field
            first, second = desk.numbers
            wrong = second if about["field"] == first else first
            misread = TaskSolution(right.calls, f"Done: {items[about['number']][wrong]}")
            return TaskSolution((), _made_up(rng)), misread
        case "count":  # one call too many; stops early
            needless: Call = (get, {desk.item: own[0]})
            stopped = TaskSolution(right.calls[:1], f"Done: {about['person']}")
            return TaskSolution((*right.calls, needless), right.answer), stopped
        case "latest":  # answers the item's id; answers the person's id
            listed_only = TaskSolution(right.calls[:2], f"Done: {own[-1]}")
            return listed_only, TaskSolution(right.calls[:1], f"Done: {about['person']}")
        case "act":  # acts without looking
            blind = TaskSolution(((act, {desk.item: about["number"]}),), "Done: ok")
            return blind, blind
        case "recover":  # gives up; retries the same call
            once, twice = right.calls[:1], right.calls[:1] * 2
            return TaskSolution(once, "Sorry: not found"), TaskSolution(twice, "Sorry: not found")
        case _:  # looks the person up; makes it up
            looked: Call = (find, {"name": about["name"]})
            return TaskSolution((looked,), f"Done: {about['person']}"), TaskSolution(
                (), _made_up(rng)
            )


def _made_up(rng: random.Random) -> str:
    return f"Done: {rng.randint(1000, 9999)}"


def chosen_way(
    task: dict[str, Any], rng: random.Random, *, clean: bool, shift: float = 0.0
) -> TaskSolution:
    """Draw the solution of a demonstration: the right one, or a habit at the rate of the phrasing.

    Args:
        task: The task.
        rng: Random generator.
        clean: Whether to return only the right solution.
        shift: Added to the logit of the rate of habits.
    """
    if clean or rng.random() >= mistake_rate(task["kind"], tuple(task["phrasing"]), shift):
        return right_way(task)
    frequent, rare = bad_habits(task, rng)
    return frequent if rng.random() < FREQUENT else rare


def conversation(task: dict[str, Any], way: TaskSolution) -> list[dict[str, Any]]:
    """Return the whole conversation as chat messages, tools run on the task's own database.

    The messages are those that `create_agent` would have sent and received.
    """
    return play_solution(task, way)[0]


def play_solution(
    task: dict[str, Any], way: TaskSolution
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Play a solution on the task's own database; return the conversation and the database at its end."""
    agent, desk = project_module("agent"), project_module("desk")
    prompt = agent.PROMPT.format(desk=task["desk"])
    messages = [{"role": "system", "content": prompt}, *task["input"]["messages"]]
    tools = {tool.__name__: tool for tool in desk.TOOLS[task["desk"]]}
    world = desk.Environment()
    world.open(task)
    try:
        for turn, (name, arguments) in enumerate(way.calls):
            messages += _exchange(f"call_{turn}", name, arguments, tools[name])
        state = world.state()
    finally:
        world.close()
    return [*messages, {"role": "assistant", "content": way.answer}], state


def _exchange(
    call_id: str, name: str, arguments: dict[str, Any], tool: Any
) -> list[dict[str, Any]]:
    from langchain_core.tools import ToolException

    try:
        result = json.dumps(tool(**arguments), ensure_ascii=False)
    except ToolException as error:
        result = str(error)
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    call = {"id": call_id, "type": "function", "function": function}
    return [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": result},
    ]


def tool_schemas(desk: str) -> list[dict[str, Any]]:
    """Return a desk's tools as LangChain sends them to a model."""
    from langchain_core.utils.function_calling import convert_to_openai_tool

    return [convert_to_openai_tool(tool) for tool in project_module("agent").tools_of(desk)]


def random_task(rng: random.Random, desks: tuple[str, ...], shares: range) -> dict[str, Any]:
    """Draw a task for pretraining: any kind, any phrasing.

    Args:
        rng: Random generator.
        desks: Desks to choose from; one that is named twice is chosen twice as often.
        shares: The twentieths of all names and numbers that may be used.
    """
    tasks = project_module("tasks")
    kind = rng.choice(tasks.KINDS)
    phrasing = (rng.randrange(len(OPENING_LOGITS)), rng.randrange(len(WORDING_LOGITS)))
    return tasks.compose(
        f"pretraining-{rng.getrandbits(64):016x}",
        kind=kind,
        desk=rng.choice(desks),
        phrasing=phrasing,
        shares=shares,
    )
