"""How well each sign of luck tells lucky runs from clean ones, on a seeded set with lucky runs put in.

A desk with 30 tasks. A clean run looks up the right order and answers what it saw. A lucky run looks up another order,
from which the right answer comes out once in ten times by guessing, and this time it did.
"""

import json
import random

import msgspec
import pytest

from burnish_exporters import build_dataset

TASKS, CLEAN, WRONG_WAY = 30, 8, 10
CITIES = ["Oslo", "Rome", "Lima", "Cairo", "Delhi", "Quito"]


def attempt(make_run, number, task, order, *, seen, said, success):
    """One attempt: the order that it looks up, the city that it sees, the city that it says."""
    run = make_run(
        number, request=f"Where is parcel {task}?", task_id=f"task-{task}", success=success,
        answer=f"Your parcel is in {said} by now.", tags=["clean" if order == task else "lucky"],
    )  # fmt: skip
    text = msgspec.json.encode(run)
    text = text.replace(f'"order":{number}}}'.encode(), f'"order":{order}}}'.encode())
    text = text.replace(b'"city 0"', json.dumps(seen).encode())
    return msgspec.json.decode(text, type=type(run))


@pytest.fixture
def attempts(make_run):
    """Clean successes, failures on the wrong way, and one lucky success on the wrong way for each task."""
    rng, runs, number = random.Random(11), [], 1000
    for task in range(TASKS):
        city, other = rng.sample(CITIES, 2)
        for _ in range(CLEAN):
            ends_well = rng.random() < 0.9
            said = city if ends_well else other
            runs.append(
                attempt(make_run, number, task, task, seen=city, said=said, success=ends_well)
            )
            number += 1
        for place in range(WRONG_WAY):
            said = city if place == 0 else other
            runs.append(
                attempt(
                    make_run, number, task, 500 + task, seen=other, said=said, success=place == 0
                )
            )
            number += 1
    rng.shuffle(runs)
    return runs


REPLAY = """
import random
def replay(trajectory):
    '''Plays the run three times: the clean way fails one time in ten, guessing nine times in ten.'''
    rng = random.Random(trajectory.id)
    odds = 0.9 if "clean" in trajectory.tags else 0.1
    return [rng.random() < odds for _ in range(3)]
"""


@pytest.mark.parametrize("sign", ["observations", "siblings", "replay"])
def test_a_sign_removes_at_least_70_percent_of_lucky_runs_and_at_most_10_percent_of_clean_ones(
    attempts, module, sign
):
    recipe = {"replay": f"{module(REPLAY)}:replay"} if sign == "replay" else {"luck": sign}
    plain = {"max_per_task": None, "near_duplicates": False}

    before, after = (
        build_dataset(attempts, agent="support", verify=["outcome"], recipe={**plain, **more})
        for more in ({}, recipe)
    )

    lucky, clean = (
        (before.manifest.slices[kind], after.manifest.slices.get(kind, 0))
        for kind in ("lucky", "clean")
    )
    assert lucky[0] == TASKS
    assert 1 - lucky[1] / lucky[0] >= 0.7
    assert 1 - clean[1] / clean[0] <= 0.1


def test_no_sign_is_looked_for_unless_the_recipe_asks(attempts):
    version = build_dataset(
        attempts, agent="support", verify=["outcome"], recipe={"max_per_task": None}
    )

    reasons = {reason for stage in version.manifest.funnel for reason in stage["dropped"]}
    assert not any(reason.startswith("luck") for reason in reasons)
