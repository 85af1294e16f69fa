"""Lucky runs are dropped and clean ones kept; near duplicates look at request and actions, not at text."""

import json
import random

import msgspec
import pytest

from burnish.records import ToolRun
from burnish_exporters import build_dataset
from burnish_exporters.curate import Drop, Item, keep_supported
from burnish_exporters.curate.steps.values import Attempt, step_value, step_values


def judged(make_run, request, results, answer, at_least=0.5):
    runs = [
        ToolRun(span_id=f"t{n}", parent_id=None, name="look_up", result=result)
        for n, result in enumerate(results)
    ]
    run = msgspec.structs.replace(make_run(1, request=request, answer=answer), tool_runs=runs)
    return keep_supported(at_least=at_least)(Item(trajectory=run))


@pytest.mark.parametrize(
    ("request_", "results", "answer", "kept"),
    [
        ("What is the total?", ["58.5 EUR"], "The total is 58.5 EUR.", True),
        ("What is the total?", [], "The total is 58.5 EUR.", False),
        ("What is the total?", ["19.5"], "The total is 58.5 EUR.", False),
        ("Total of order 17?", [{"total": 58.50}], "Order 17 costs 58.5.", True),
        ("Where is order 17?", [], "Order 17 cannot be found.", True),
        ("Where is it?", ['{"city": "Berlin"}'], "It is in Berlin.", True),
        ("Where is it?", ['{"city": "Bern"}'], "It is in Berlin.", False),
        ("How many orders?", [{"orders": [4, 9, 11]}], "There are 3.", True),
        ("What is the sum?", [[4, 9, 11]], "It is 24.", True),
        ("Say hello", [], "hello there", True),
    ],
)
def test_an_answer_is_supported_by_what_was_seen_or_it_is_luck(
    make_run, request_, results, answer, kept
):
    found = judged(make_run, request_, results, answer)

    assert found == Drop("luck: answer not supported by any observation") or kept
    assert (not isinstance(found, Drop)) == kept


def test_two_claims_of_which_one_was_seen_pass_at_one_half_and_fail_at_three_quarters(make_run):
    """Claims: '58.5' (seen) and 'Berlin' (not seen); 1 of 2 is 0.5."""
    case = (make_run, "How much?", ["58.5"], "it is 58.5 in Berlin")

    assert not isinstance(judged(*case, at_least=0.5), Drop)
    assert isinstance(judged(*case, at_least=0.75), Drop)


def test_a_share_above_one_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"expected a share from 0 to 1; .*at_least=0\.5"):
        keep_supported(at_least=2)


def test_at_least_70_percent_of_injected_lucky_runs_go_and_at_most_10_percent_of_clean_ones(
    make_run,
):
    """Clean runs answer with the city that they looked up, lucky ones with one that they never saw."""
    rng, cities = random.Random(3), ["Oslo", "Rome", "Lima", "Cairo", "Delhi", "Quito"]
    dropped = {"clean": 0, "lucky": 0}
    for n in range(200):
        kind = "lucky" if n % 2 else "clean"
        seen, right = rng.sample(cities, 2)
        city = seen if kind == "clean" else right
        results = [] if kind == "lucky" and rng.random() < 0.5 else [json.dumps({"city": seen})]
        answer = rng.choice([f"It is in {city}.", f"Order {n} went to {city}.", f"{city}"])
        found = judged(make_run, f"Where is order {n}?", results, answer)
        dropped[kind] += isinstance(found, Drop)

    assert dropped["lucky"] >= 70
    assert dropped["clean"] <= 10


def test_values_count_successes_through_each_beginning_of_one_task_only():
    """Task a: 'x' leads to 1 of 2 successes, 'x','y' to 1 of 1; the 'x' of task b is another."""
    values = step_values(
        [
            Attempt(task="a", actions=("x", "y"), success=True),
            Attempt(task="a", actions=("x", "z"), success=False),
            Attempt(task="b", actions=("x",), success=False),
        ]
    )

    assert step_value(values, "a", ("x",)) == 0.5
    assert step_value(values, "a", ("x", "y")) == 1.0
    assert step_value(values, "b", ("x",)) == 0.0
    assert step_value(values, "a", ()) == 0.5
    assert step_value(values, "c", ()) is None


def attempt(make_run, n, order, success):
    """An attempt at one task whose only action is to look up `order`."""
    run = make_run(n, request="Where is it?", task_id="t", success=success, answer=f"There {n}.")
    text = msgspec.json.encode(run).replace(
        f'"order":{n}}}'.encode(), f'"order":{order}}}'.encode()
    )
    return msgspec.json.decode(text, type=type(run))


def test_a_success_from_a_step_where_others_failed_is_luck(make_run):
    """Order 500: 8 of 8 others fail; order 900: all succeed."""
    runs = [attempt(make_run, n, 500, success=False) for n in range(8)]
    runs += [attempt(make_run, 8, 500, success=True)]
    runs += [attempt(make_run, n, 900, success=True) for n in range(9, 13)]

    version = build_dataset(
        runs, agent="support", verify=["outcome"], recipe={"luck": "siblings", "max_per_task": None}
    )

    kept = {
        json.loads(r["messages"][2]["tool_calls"][0]["function"]["arguments"])["order"]
        for r in version.rows()
    }
    assert kept == {900}
    drops = {r: n for s in version.manifest.funnel for r, n in s["dropped"].items()}
    assert drops["luck: others failed from the same step"] == 1


def changed(run, *pairs):
    text = msgspec.json.encode(run)
    for old, new in pairs:
        assert old.encode() in text
        text = text.replace(old.encode(), new.encode())
    return msgspec.json.decode(text, type=type(run))


def near(make_run, *pairs, other=None):
    one = make_run(1, id="a" * 32)
    two = changed(make_run(1, id="b" * 32, started_ns=5000), *pairs) if other is None else other
    version = build_dataset(
        [one, two], agent="support", verify=["outcome"], recipe={"near_duplicates": True}
    )
    return version.manifest.rows["train"] == 1


STAMPED = '"arguments":{"order":1,"at":"2026-11-21T10:00:00Z","ref":"7f3b2a10-9d8e-4c3b-8a7f-1234567890ab"}'
RESTAMPED = '"arguments":{"order":1,"at":"2026-11-22T11:30:00Z","ref":"00000000-9d8e-4c3b-8a7f-1234567890ab"}'
PLAIN = '"arguments":{"order":1}'


@pytest.mark.parametrize(
    ("pairs", "same"),
    [
        ([("Let me see.", "One moment please.")], True),
        ([("is in town", "has arrived")], True),
        ([("Where is order 1?", "Where is  order 1?")], True),
        ([("Where is order 1?", "Where is order 2?")], False),
        ([(PLAIN, '"arguments":{"order":2}')], False),
        ([('"name":"look_up","arguments"', '"name":"find","arguments"')], False),
    ],
)
def test_the_same_request_and_calls_are_one_run_however_they_are_worded(make_run, pairs, same):
    if pairs[0][0].startswith('"name"'):
        pairs = [("look_up", "find")]
    assert near(make_run, *pairs) == same


def test_times_and_generated_ids_in_calls_make_no_difference(make_run):
    one = changed(make_run(1, id="a" * 32), (PLAIN, STAMPED))
    two = changed(make_run(1, id="b" * 32, started_ns=9), (PLAIN, RESTAMPED))

    version = build_dataset(
        [one, two], agent="support", verify=["outcome"], recipe={"near_duplicates": True}
    )

    assert version.manifest.rows == {"train": 1}


def test_an_id_that_the_request_names_does_make_a_difference(make_run):
    ids = ["7f3b2a10-9d8e-4c3b-8a7f-1234567890ab", "00000000-9d8e-4c3b-8a7f-1234567890ab"]
    runs = [
        changed(
            make_run(1, id=f"{n}" * 32, request=f"Cancel {ref}"),
            (PLAIN, f'"arguments":{{"order":"{ref}"}}'),
        )
        for n, ref in enumerate(ids)
    ]

    version = build_dataset(
        runs, agent="support", verify=["outcome"], recipe={"near_duplicates": True}
    )

    assert version.manifest.rows == {"train": 2}


def test_runs_that_picked_different_entries_of_a_result_stay_different(make_run):
    """The first call lists two generated ids; the second call of each run takes another one."""
    ids = ["7f3b2a10-9d8e-4c3b-8a7f-1234567890ab", "00000000-9d8e-4c3b-8a7f-1234567890ab"]
    runs = [
        changed(
            make_run(1, calls=3, id=f"{n}" * 32),
            ('{"city":"city 0"}', json.dumps(ids)),
            ('"arguments":{"order":2}', f'"arguments":{{"order":"{ref}"}}'),
        )
        for n, ref in enumerate(ids)
    ]

    version = build_dataset(
        runs, agent="support", verify=["outcome"], recipe={"near_duplicates": True}
    )

    assert version.manifest.rows == {"train": 2}
