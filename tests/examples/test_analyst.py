"""The sales analyst of the tutorial: its pools, its check, and its tools' errors."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples/shop_analyst"
MODULES = ("shop", "tasks", "checks", "agent")


@pytest.fixture(scope="module")
def analyst():
    """The modules of the project, without those of other examples that have the same names."""
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    found = {}
    for name in MODULES:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        found[name] = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found[name])
    for name, module in before.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module
    return SimpleNamespace(**found)


def run(task_id, answer, *, looked=True):
    return SimpleNamespace(
        task_id=task_id, answer=answer, tool_runs=["get_order"] if looked else []
    )


def test_no_question_stands_in_two_pools_and_a_seed_changes_the_order_alone(analyst):
    pools = {name: analyst.tasks.tasks(name) for name in analyst.tasks.POOLS}
    ids = [task["id"] for several in pools.values() for task in several]

    assert len(ids) == len(set(ids))
    assert {name: len(several) for name, several in pools.items()} == {
        "train": 280, "heldout": 60, "standing": 15, "capability": 15,
    }  # fmt: skip
    again = analyst.tasks.tasks("train", seed=7)
    assert again != pools["train"]
    assert sorted(map(str, again)) == sorted(map(str, pools["train"]))


def test_every_task_has_a_right_answer_that_the_check_takes(analyst):
    for pool in analyst.tasks.POOLS:
        for task in analyst.tasks.tasks(pool):
            right = analyst.tasks.right_answer(task["id"])
            assert analyst.checks.reached_goal(run(task["id"], f" {right}\n"), None) is True


def test_guesses_wrong_answers_and_unknown_questions_are_told_apart(analyst):
    task = analyst.tasks.tasks("heldout", n=1)[0]["id"]
    right = analyst.tasks.right_answer(task)

    assert analyst.checks.reached_goal(run(task, right, looked=False), None) is False
    assert analyst.checks.reached_goal(run(task, "Done: 1"), None) is False
    assert analyst.checks.reached_goal(run(task, None), None) is False
    assert analyst.checks.reached_goal(run("4f1c2a", right), None) is None
    assert analyst.checks.reached_goal(run(None, right), None) is None


def test_a_tool_that_finds_nothing_or_is_called_badly_answers_the_model(analyst):
    by_name = {tool.name: tool for tool in analyst.agent.TOOLS}

    def call(tool, **arguments):
        asked = {"name": tool, "args": arguments, "id": "1", "type": "tool_call"}
        return by_name[tool].invoke(asked)

    assert call("find_customer", name="Nobody").content == "not found"
    assert call("get_order", order=1).status == "error"
    assert call("list_orders", customer="x").content == "bad arguments"
