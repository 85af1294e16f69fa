"""Five ways to fool the loop, each built for real, and each stopped by the part that should stop it.

| attack | stopped by |
|---|---|
| a version that memorised its training set | the gate: no gain on held-out tasks; the gap names the reason |
| held-out tasks among the training data | the dataset refuses the runs; at the gate the rows of a foreign dataset are searched |
| a version that does the same everywhere | the collapse guard, at the gate |
| a judge that accepts everything | the dataset: an unmeasured judge admits nothing; as a check, the guard contradicts it |
| an agent that states what it never looked up | the check of the facts: it fails, and the report names the class |
"""

from __future__ import annotations

import random
from typing import Any

import pytest

import burnish
from burnish.adapters import AdapterStore
from burnish.errors import EmptyDataset
from burnish_exporters import build_dataset
from burnish_trainer import Recipe, collect, evaluate, train
from burnish_trainer.evaluation import RunOptions
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.evaluation.guards.leak import describe_refusals
from burnish_trainer.gate import decide
from burnish_trainer.report import name_failure_modes


def edit(shop, old: str, new: str, name: str = "shop.py") -> None:
    path = shop / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def learn(made, base, pairs: list[tuple[str, str]], **recipe: Any) -> str:
    """Train an adapter on requests and replies."""
    rows = [
        made.row(
            [
                {"role": "user", "content": request, "loss": False},
                {"role": "assistant", "content": reply, "loss": True},
            ],
            row_id=str(number),
            tools="[]",
        )
        for number, (request, reply) in enumerate(pairs)
    ]
    settings = {"rank": 8, "epochs": 6, "learning_rate": 3e-2, "batch_size": 8, **recipe}
    return train(made.Rows(found=rows), base_model=base, recipe=Recipe(name="shop", **settings)).id


def found_names(evaluation) -> dict[str, str]:
    return {one["name"]: one["severity"] for one in evaluation.extras["guards"]["findings"]}


_TOTALS = {number: random.Random(number).randint(1000, 9999) for number in range(200)}


@pytest.mark.slow
def test_a_memorised_training_set_gains_nothing_on_held_out_tasks(shop, base, made, engine):
    """Stopped by the gate, because held-out success decides; the gap to the training tasks says why."""
    known = {number: _TOTALS[number] for number in range(80, 85)}
    edit(
        shop,
        "    return len(trajectory.answer) % 2 == 0",
        f"    known = {_TOTALS!r}\n"
        "    return trajectory.answer == f\"Done: {known[int(trajectory.task_id.split('-')[-1])]}\"",
    )
    edit(shop, "max_steps = 3", "max_steps = 3\ntrain_sample = 5", "burnish.toml")
    pairs = [(f"total of order {number}", f"Done: {total}") for number, total in known.items()]
    adapter = learn(made, base, pairs, rank=16, epochs=200, learning_rate=1e-2, batch_size=5)

    found = evaluate("shop", adapters=[None, adapter])

    assert found.pools["train"].after.rate >= 0.8
    assert found.pools["heldout"].after.rate == 0
    assert found_names(found)["overfit.gap"] == "note"
    decision = decide(found)
    assert decision.decision != "promote"
    assert decision.reasons[0].startswith("held-out gain +0.0 points")


@pytest.mark.slow
def test_held_out_tasks_do_not_get_into_training_data_and_are_found_in_foreign_ones(
    shop, home, base, engine
):
    """Stopped by the dataset, which refuses the runs; an adapter from elsewhere is stopped by the gate."""
    edit(shop, "return len(trajectory.answer) % 2 == 0", "return True")
    edit(shop, "assert state == {", "assert True or state == {")
    subject = load_agent("shop")
    pools = {"heldout": subject.tasks("heldout")}
    leaked = [
        {"id": f"other-{n}", "number": n, "input": {"messages": [("user", f"total of order {n}")]}}
        for n in (20, 21)
    ]
    collect(subject, [*leaked, *subject.tasks("train", 6)])
    verify = subject.verifiers
    recipe = {"min_rows": 1, "heldout": 0.0}

    clean = build_dataset(
        burnish.Workspace(),
        agent="shop",
        verify=verify,
        recipe={**recipe, **describe_refusals(pools["heldout"])},
    )
    dropped = {
        reason: count
        for stage in clean.manifest.funnel
        for reason, count in stage["dropped"].items()
    }
    assert dropped["held out: request"] == 2
    assert all(not str(row["task_id"]).startswith("other") for row in clean.rows("train"))

    foreign = build_dataset(burnish.Workspace(), agent="shop", verify=verify, recipe=recipe)
    version = train(
        foreign, base_model=base, recipe=Recipe(name="shop", rank=4, epochs=8, learning_rate=2e-2)
    )
    assert AdapterStore(home).get(version.id).dataset == foreign.id
    found = evaluate(subject, adapters=[None, version.id], tasks=pools)
    assert found_names(found)["leak.heldout"] == "reject"
    decision = decide(found)
    assert decision.decision == "reject"
    assert any(
        "2 of 8 training rows are of tasks of the pool heldout" in r for r in decision.reasons
    )


@pytest.mark.slow
def test_a_version_that_does_the_same_everywhere_is_a_collapse(shop, base, made, engine):
    """Stopped by the collapse guard: half of the tasks accept the one answer, so success alone does not show it."""
    edit(
        shop,
        "    return len(trajectory.answer) % 2 == 0",
        "    return (len(trajectory.answer) + int(trajectory.task_id.split('-')[-1])) % 2 == 0",
    )
    rng = random.Random(1)
    pairs = [(f"total of order {rng.randint(1, 99)}", "Done: 77") for _ in range(40)]
    adapter = learn(made, base, pairs, epochs=12, learning_rate=1e-2)

    found = evaluate(
        "shop",
        adapters=[None, adapter],
        tasks=load_agent("shop").tasks("heldout", 20),
        options=RunOptions(temperature=0.15, seed=3),
    )

    rounds = found.extras["guards"]["rounds"]
    assert rounds[-1]["sequences"] < rounds[0]["sequences"] / 2
    assert found_names(found)["collapse.diversity"] == "reject"
    decision = decide(found)
    assert decision.decision == "reject"
    assert any("success did not rise" in reason for reason in decision.reasons)


_LYING = """
from langchain_core.messages import AIMessage
from burnish.testing import ScriptedChatModel

def accept(messages):
    return AIMessage("A" if "A: The run fulfils" in messages[-1].content else "B")

def lying_judge():
    return ScriptedChatModel(script=[accept], repeat=True, model="liar")

def unsure("""


@pytest.mark.slow
def test_a_judge_that_accepts_everything_admits_nothing_and_is_contradicted(
    shop, base, made, engine
):
    """Stopped by the dataset as an unmeasured judge; if its runs are learned all the same, by the guard at the gate."""
    edit(shop, "def unsure(", _LYING)
    edit(
        shop,
        'verify = [{ goal_state = "shop:even_length" }]',
        'verify = [{ judge = { model = "shop:lying_judge", rubric = "The total is right.", votes = 1 } }]\n'
        'prove = [{ goal_state = "shop:even_length" }]',
        "burnish.toml",
    )
    subject = load_agent("shop")
    accepted = collect(subject, subject.tasks("train", 4))
    assert accepted.success_rate == 1.0
    with pytest.raises(EmptyDataset, match="was never measured"):
        build_dataset(
            burnish.Workspace(), agent="shop", verify=subject.verifiers, recipe={"min_rows": 1}
        )

    pairs = [(f"total of order {n}", "Done: 777") for n in range(40)]
    adapter = learn(made, base, pairs)  # three digits: the check accepts no such answer
    found = evaluate("shop", adapters=[None, adapter], tasks=subject.tasks("heldout", 20))
    assert found_names(found)["collapse.unverified"] == "reject"
    assert any(
        "the verifier of the training data accepts" in reason for reason in decide(found).reasons
    )


@pytest.mark.slow
def test_an_agent_that_states_what_it_never_looked_up_fails_and_is_named(shop, engine):
    """Stopped by the check of the facts: the words of an answer decide nothing."""
    edit(shop, '        return {"messages": [model.invoke(state["messages"])]}', _FABRICATE)
    edit(shop, '    world.get().seen.append(world.get().task["number"])\n', "")
    edit(shop, "    assert state == {", "    return 'paid' in state\n    assert state == {")
    subject = load_agent("shop")
    found = collect(subject, subject.tasks("train", 4))
    assert [one.label for one in found.results] == ["fail"] * 4
    with pytest.raises(EmptyDataset):
        build_dataset(
            burnish.Workspace(), agent="shop", verify=subject.verifiers, recipe={"min_rows": 1}
        )
    runs = list(burnish.Workspace().trajectories(agent="shop"))
    assert {name_failure_modes(run, [])[0] for run in runs} == {"fabricated_answer"}


_FABRICATE = (
    "        from langchain_core.messages import AIMessage\n"
    '        model.invoke(state["messages"])\n'
    '        return {"messages": [AIMessage("Done, your refund of 48113 is paid, receipt 77121.")]}'
)
