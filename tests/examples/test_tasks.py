"""The task pools: disjoint, balanced, rebuilt from an id; and the checks that judge an attempt."""

import collections
import random
from itertools import combinations
from types import SimpleNamespace

import pytest
from checks import claims_success, reached_goal
from desk import TOOLS, Environment
from langchain_core.tools import ToolException
from tasks import KINDS, POOLS, task_of, tasks

from burnish_trainer.starter.demonstrations import bad_habits, right_way


def names_and_numbers(pool):
    found = set()
    for task in tasks(pool):
        about = task["about"]
        found |= {about["name"], about["person"], about["card"], about["number"]}
        for person in task["records"]["people"]:
            found |= {person["name"], person["id"], person["card"]}
        found |= {item["id"] for item in task["records"]["items"]}
    return found


def followed(task, way):
    """Return the record of an attempt that follows this solution."""
    environment = Environment()
    environment.open(task)
    tools, runs = {tool.__name__: tool for tool in TOOLS[task["desk"]]}, []
    try:
        for name, arguments in way.calls:
            try:
                tools[name](**arguments)
                failed = False
            except ToolException:
                failed = True
            runs.append(SimpleNamespace(name=name, arguments=arguments, is_error=failed))
        state = environment.state()
    finally:
        environment.close()
    return SimpleNamespace(task_id=task["id"], answer=way.answer, tool_runs=runs), state


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_is_rebuilt_from_its_id(pool):
    for task in tasks(pool, 30, seed=4):
        assert task_of(task["id"]) == task


def test_pools_share_no_name_number_or_phrasing():
    for one, other in combinations(POOLS, 2):
        assert not names_and_numbers(one) & names_and_numbers(other)
        assert not set(POOLS[one].phrasings) & set(POOLS[other].phrasings)


def test_the_starter_was_pretrained_on_other_names_and_numbers():
    from burnish_trainer.starter.curriculum import SHARES

    assert all(not set(SHARES) & set(pool.shares) for pool in POOLS.values())


@pytest.mark.parametrize("pool", POOLS)
def test_every_pool_holds_as_many_of_each_kind(pool):
    counts = collections.Counter(task["kind"] for task in tasks(pool))
    assert set(counts) == set(KINDS)
    assert len(set(counts.values())) == 1


def test_pools_are_as_large_as_promised():
    sizes = {pool: len(tasks(pool)) for pool in POOLS}
    assert sizes == {"train": 384, "heldout": 180, "standing": 60, "capability": 60}


def test_another_seed_gives_other_tasks():
    assert tasks("train", 6, seed=1)[0]["about"] != tasks("train", 6, seed=2)[0]["about"]


@pytest.mark.parametrize("wrong", ["nothing-0-001", "heldout", "heldout-0-x"])
def test_an_unknown_id_says_what_was_expected(wrong):
    with pytest.raises(ValueError, match="expected POOL-SEED-INDEX"):
        task_of(wrong)


def test_an_unknown_pool_names_those_there_are():
    with pytest.raises(ValueError, match="train, heldout, standing, capability"):
        tasks("trian")


@pytest.mark.parametrize("pool", POOLS)
def test_the_right_way_reaches_the_goal_and_no_bad_habit_does(pool):
    rng = random.Random(5)
    for task in tasks(pool):
        assert reached_goal(*followed(task, right_way(task)))
        for habit in bad_habits(task, rng):
            assert not reached_goal(*followed(task, habit)), (task["id"], habit)


def test_a_right_guess_without_looking_is_no_success():
    for task in tasks("heldout", 30):
        attempt, state = followed(task, right_way(task))
        if attempt.tool_runs:
            attempt.tool_runs = []
            assert not reached_goal(attempt, state)


def test_an_attempt_without_an_answer_is_no_success():
    attempt, state = followed(task := task_of("heldout-0-000"), right_way(task))
    attempt.answer = None
    assert not reached_goal(attempt, state)
    assert not claims_success(attempt, state)


def test_damage_elsewhere_in_the_database_is_seen():
    attempt, state = followed(task := task_of("heldout-0-000"), right_way(task))
    state["items"][0]["done"] = 1
    assert not reached_goal(attempt, state)


def test_the_claim_believes_bad_habits_and_doubts_right_refusals():
    refusal = task_of("heldout-0-005")
    assert not claims_success(*followed(refusal, right_way(refusal)))
    habit, _ = bad_habits(refusal, random.Random(0))
    assert claims_success(*followed(refusal, habit))
