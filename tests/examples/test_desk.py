"""The support desk's database: tools, errors, and attempts that do not see each other."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import desk
import pytest
from langchain_core.tools import ToolException
from tasks import task_of, tasks


def act_alone(task, pause=lambda: None):
    """Open a task's desk, act on every item of its own and return the final state."""
    environment = desk.Environment()
    environment.open(task)
    try:
        act = desk.TOOLS[task["desk"]][3]
        for item in task["records"]["items"]:
            act(item["id"])
            pause()
        return environment.state()
    finally:
        environment.close()


def test_the_state_is_the_whole_database_as_plain_data(world):
    task = task_of("heldout-0-003")
    world.open(task)
    state = world.state()
    assert json.loads(json.dumps(state)) == state
    assert state["people"] == task["records"]["people"]
    assert state["items"] == [{**item, "done": 0} for item in task["records"]["items"]]


@pytest.mark.parametrize("name", desk.DESKS)
def test_each_desk_has_its_four_tools(name):
    assert tuple(tool.__name__ for tool in desk.TOOLS[name]) == desk.DESKS[name].tool_names


def test_a_person_is_found_by_name_or_card_and_their_items_are_listed(world):
    task = task_of("heldout-0-001")
    world.open(task)
    person = task["records"]["people"][0]
    assert desk.find_customer(name=person["name"]) == {"customer": person["id"]}
    assert desk.find_customer(card=person["card"]) == {"customer": person["id"]}
    own = [item["id"] for item in task["records"]["items"] if item["person"] == person["id"]]
    assert desk.list_orders(person["id"]) == {"orders": own}


def test_only_the_item_that_is_acted_on_changes(world):
    task = task_of("heldout-0-003")
    world.open(task)
    changed = task["records"]["items"][-1]["id"]
    assert desk.cancel_order(changed) == {"ok": True}
    assert [item["id"] for item in world.state()["items"] if item["done"]] == [changed]


@pytest.mark.parametrize(
    "call",
    [
        lambda: desk.find_customer(name="Nobody"),
        desk.find_customer,
        lambda: desk.list_orders(1),
        lambda: desk.get_order(1),
        lambda: desk.cancel_order(1),
    ],
)
def test_what_is_not_on_file_is_a_tool_error(world, call):
    world.open(task_of("heldout-0-003"))
    with pytest.raises(ToolException, match="not found"):
        call()


def test_without_an_open_desk_the_error_says_what_to_call():
    with pytest.raises(LookupError, match=r"call Environment\(\)\.open\(task\) first"):
        desk.get_order(1)


def test_a_closed_environment_has_no_state(world):
    world.open(task_of("heldout-0-003"))
    world.close()
    world.close()
    with pytest.raises(LookupError, match="closed"):
        world.state()


def test_attempts_in_threads_do_not_see_each_other():
    chosen = tasks("heldout", 24) + tasks("capability", 24)
    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(act_alone, chosen))
    for task, state in zip(chosen, states, strict=True):
        assert state["people"] == task["records"]["people"]
        assert state["items"] == [{**item, "done": 1} for item in task["records"]["items"]]


async def test_attempts_in_asyncio_tasks_do_not_see_each_other():
    async def attempt(task):
        environment = desk.Environment()
        environment.open(task)
        for item in task["records"]["items"]:
            await asyncio.sleep(0)
            desk.TOOLS[task["desk"]][3](item["id"])
        state = environment.state()
        environment.close()
        return state

    chosen = tasks("heldout", 12) + tasks("capability", 12)
    states = await asyncio.gather(*(attempt(task) for task in chosen))
    for task, state in zip(chosen, states, strict=True):
        assert state["items"] == [{**item, "done": 1} for item in task["records"]["items"]]
