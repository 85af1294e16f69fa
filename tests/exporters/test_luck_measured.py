"""Measure how well each sign of luck separates lucky from clean runs, on a seeded set with injected lucky runs.

A desk with 60 tasks. A clean run looks up the right order and answers with the city that it saw. A
lucky run looks up another order, from which a guess is right once in ten times, and this time it
was. The set is not made easy: one lucky run in six happens to see the right city, one clean answer
in twenty is computed rather than read, and every fifteenth task is so hard that the right way
mostly fails too.
"""

import itertools
import json
import random

import msgspec
import pytest

from burnish_exporters import build_dataset

TASKS, CLEAN, WRONG_WAY = 60, 8, 10
SAYING = [
    "Your parcel is in {}.", "It is in {} now.", "We found it in {}.", "It has reached {}.",
    "You get it from {}.", "It waits in {}.", "I see it in {}.", "Look for it in {}.",
]  # fmt: skip
CITIES = ["Oslo", "Rome", "Lima", "Cairo", "Delhi", "Quito"]


def attempt(make_run, number, task, order, *, seen, said, success):
    """One attempt: the order that it looks up, the city that it sees, what it says."""
    run = make_run(
        number, request=f"Where is parcel {task}?", task_id=f"task-{task}", success=success,
        answer=said, tags=["clean" if order == task else "lucky"],
    )  # fmt: skip
    text = msgspec.json.encode(run)
    text = text.replace(f'"order":{number}}}'.encode(), f'"order":{order}}}'.encode())
    text = text.replace(b'"city 0"', json.dumps(seen).encode())
    return msgspec.json.decode(text, type=type(run))


@pytest.fixture
def attempts(make_run):
    """Clean successes, failures on the wrong way, and one lucky success on the wrong way for each task."""
    rng, runs, numbers = random.Random(11), [], itertools.count(1000)
    for task in range(TASKS):
        city, other = rng.sample(CITIES, 2)
        for place in range(CLEAN):
            success = rng.random() < (0.2 if task % 15 == 0 else 0.9)
            seen = "the depot" if rng.random() < 0.05 else city
            said = SAYING[place].format(city if success else other)
            ways = {"seen": seen, "said": said, "success": success}
            runs.append(attempt(make_run, next(numbers), task, task, **ways))
        for place in range(WRONG_WAY):
            lucky = place == 0
            seen = city if lucky and rng.random() < 1 / 6 else other
            said = SAYING[place % len(SAYING)].format(city if lucky else other)
            ways = {"seen": seen, "said": said, "success": lucky}
            runs.append(attempt(make_run, next(numbers), task, 500 + task, **ways))
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
