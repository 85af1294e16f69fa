"""Generated tasks: what the schemas allow is kept, what is solved sometimes is used, everything dropped is counted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from burnish.testing import ScriptedChatModel
from burnish_trainer.generation import (
    GeneratedTask,
    check_proposal,
    generator_reward,
    measure_difficulty,
    propose_tasks,
    select_frontier,
)

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "refund",
            "parameters": {
                "type": "object",
                "properties": {"order": {"type": "integer"}, "reason": {"type": "string"}},
                "required": ["order"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "status",
            "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}},
        },
    },
]


def proposal(request, name, **arguments):
    return json.dumps({"request": request, "call": {"name": name, "arguments": arguments}})


def task(request="refund order 7", tool="refund", **arguments):
    return GeneratedTask(id="g", request=request, tool=tool, arguments=arguments or {"order": 7})


def test_valid_proposals_are_kept_and_the_others_counted_by_reason():
    replies = [
        f"Sure! {proposal('Please refund order 7', 'refund', order=7)}",
        "I cannot do that",
        proposal("Where is order 8?", "track", order=8),
        proposal("Where is order 8?", "status", order="eight"),
        proposal("Where is my order?", "status", order=8),
        proposal("Give me order 7 back", "refund", order=7),
        proposal("Where is order 8?", "status", order=8),
    ]
    found = propose_tasks(ScriptedChatModel(script=replies), TOOLS, count=2)
    assert [one.request for one in found.tasks] == ["Please refund order 7", "Where is order 8?"]
    assert found.asked == 7
    assert found.dropped == {
        "an argument is not in the request": 1,
        "arguments do not fit the schema": 1,
        "no JSON object": 1,
        "same call": 1,
        "unknown tool": 1,
    }
    first = found.tasks[0].as_task()
    assert first.input == {"messages": [("user", "Please refund order 7")]}
    assert first.data["gold"] == {"tool": "refund", "arguments": {"order": 7}}


def test_a_generator_that_adds_nothing_is_x():
    found = propose_tasks(ScriptedChatModel(script=["no"] * 20), TOOLS, count=3)
    assert (found.tasks, found.asked, found.dropped) == ([], 8, {"no JSON object": 8})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (task(), None),
        (task(order=7, reason="late"), "an argument is not in the request"),
        (task("refund order 7, it came late", order=7, reason="late"), None),
        (task(order=7, urgent=True), "arguments do not fit the schema"),
        (task(reason="refund"), "arguments do not fit the schema"),
        (task(tool="cancel"), "unknown tool"),
    ],
)
def test_structural_checks(given, reason):
    assert check_proposal(given, TOOLS) == reason


def test_tasks_near_one_half_come_first_and_solved_or_hopeless_ones_are_left_out():
    rates = {"a": 1.0, "b": 0.0, "c": 0.5, "d": 0.25}
    tasks = [GeneratedTask(id=i, request=i, tool="status", arguments={}) for i in rates]
    rng = np.random.default_rng(0)

    def solve(one, number):
        return ("status", {}) if rng.random() < rates[one.id] else None

    measured = measure_difficulty(tasks, solve, attempts=200)
    assert [one.task.id for one in select_frontier(measured)] == ["c", "d"]
    rewards = {one.task.id: generator_reward(True, one.pass_rate) for one in measured}
    assert rewards["c"] > 0.8 > rewards["d"] > 0.3
    assert rewards["a"] == rewards["b"] == generator_reward(False) == 0.0


def test_the_gold_call_decides_and_not_the_order_of_arguments():
    gold = task("x", order=1, reason="r")
    assert gold.is_solved_by("refund", {"reason": "r", "order": 1})
    assert not gold.is_solved_by("refund", {"order": 1})
    assert not gold.is_solved_by("status", {"reason": "r", "order": 1})
    assert not gold.is_solved_by("refund", None)
