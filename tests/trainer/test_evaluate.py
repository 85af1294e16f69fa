"""The real agent runs the same tasks with two versions, each attempt in its own environment, and facts judge it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import burnish
from burnish import settings
from burnish.errors import EvaluationError, NoVerifier, UnknownAdapter, UnknownAgent
from burnish_trainer import collect, evaluate
from burnish_trainer.evaluation import RunOptions
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.evaluation.attempts.ended import AttemptResult
from burnish_trainer.evaluation.comparison import compare_pool, pair_results
from burnish_trainer.evaluation.runner import read_options


@pytest.fixture
def adapter(base, home, orders):
    from burnish_trainer import Recipe, train

    return train(
        orders,
        base_model=base,
        recipe=Recipe(name="shop", rank=4, epochs=3, learning_rate=3e-2, batch_size=4),
    ).id


def by_number(given):
    return [
        {"id": f"heldout-{i}", "number": i, "input": {"messages": [("user", f"order {i}")]}}
        for i in given
    ]


@pytest.mark.slow
def test_both_versions_answer_the_same_tasks_and_are_compared_in_pairs(shop, adapter, engine):
    found = evaluate("shop", adapters=[None, adapter])
    assert set(found.pools) == {"heldout", "standing", "capability"}
    assert found.after == adapter
    assert found.trajectories == 48
    for pool in found.pools.values():
        assert pool.before.total == pool.after.total == 8
        assert pool.gain == pytest.approx((pool.won - pool.lost) / 8)
        assert pool.ci95[0] <= pool.gain <= pool.ci95[1]
        assert set(pool.by_kind) == {"even", "odd"}
        assert pool.cost["steps"] == {"before": 1.0, "after": 1.0}
        assert pool.cost["output_tokens"]["before"] > 0
    answered = {
        t.policies[0].adapter for t in burnish.Workspace().trajectories(source="evaluation")
    }
    assert answered == {None, adapter}


@pytest.mark.slow
def test_attempts_are_recorded_with_their_pool_their_state_and_their_verdict(shop, engine):
    evaluate("shop", adapters=[None])
    recorded = list(burnish.Workspace().trajectories(agent="shop", source="evaluation"))
    assert len(recorded) == 24
    one = next(t for t in recorded if t.task_id == "standing-41")
    assert one.metadata["pool"] == "standing"
    assert one.final_state == {"task": "standing-41", "seen": [41]}
    assert one.environment == "Environment"
    assert [v.verifier for v in one.verdicts] == ["goal_state"]


@pytest.mark.slow
def test_a_version_is_not_run_twice_on_the_same_tasks(shop, engine):
    first = evaluate("shop", adapters=[None])
    again = evaluate("shop", adapters=[None, None])
    assert again.pools["heldout"].before == first.pools["heldout"].before
    assert len(list(burnish.Workspace().trajectories(source="evaluation"))) == 24
    (shop / "shop.py").write_text((shop / "shop.py").read_text() + "\n# another agent now\n")
    evaluate("shop", adapters=[None])
    assert len(list(burnish.Workspace().trajectories(source="evaluation"))) == 48


@pytest.mark.slow
def test_an_agent_that_changed_in_a_living_process_is_run_as_it_is_now(shop, engine):
    program, asked = shop / "shop.py", '[model.invoke(state["messages"])]'
    text = program.read_text()
    program.write_text(text.replace(asked, '[("ai", "even")]'))
    assert evaluate("shop", adapters=[None]).pools["heldout"].after.rate == 1
    program.write_text(text.replace(asked, '[("ai", "odd")]'))
    assert evaluate("shop", adapters=[None]).pools["heldout"].after.rate == 0
    program.write_text(text.replace(asked, '[("ai", "even")]'))
    again = evaluate("shop", adapters=[None])
    assert again.pools["heldout"].after.rate == 1
    assert again.extras["remembered"]["after"] > 0


@pytest.mark.slow
def test_an_agent_that_asks_without_end_or_raises_has_failed_and_the_others_go_on(
    shop, engine, caplog
):
    subject = load_agent("shop")
    found = collect(subject, by_number([7, 13, 20]), options=read_options(subject))
    endless, raising, fine = found.results
    assert endless.label == "fail"
    assert "asked the model more than 3 times" in endless.reason
    assert "AttemptWatch" not in caplog.text  # LangChain's line; the result has the reason
    assert raising.label == "fail"
    assert raising.reason == "RuntimeError: no thirteenth order"
    assert fine.reason is None
    statuses = {t.task_id: t.status for t in burnish.Workspace().trajectories()}
    assert statuses == {"heldout-7": "failed", "heldout-13": "failed", "heldout-20": "completed"}


@pytest.mark.slow
def test_rollouts_differ_between_attempts_and_repeat_with_their_seed(shop, engine):
    options = RunOptions(source="rollout", temperature=1.0, attempts=2, seed=5, concurrency=2)

    def answers():
        known = {t.id for t in burnish.Workspace().trajectories()}
        collect("shop", by_number([21, 22]), options=options)
        new = [t for t in burnish.Workspace().trajectories(source="rollout") if t.id not in known]
        return {(t.task_id, t.attempt): t.model_calls[0].token_ids for t in new}

    first = answers()
    assert first["heldout-21", 1] != first["heldout-21", 2]
    assert answers() == first


@pytest.mark.slow
def test_a_verifier_that_raises_makes_results_unknown_and_never_labels(shop, engine):
    toml = shop / "burnish.toml"
    toml.write_text(toml.read_text().replace("shop:even_length", "shop:unsure"))
    with pytest.raises(EvaluationError, match="no attempt could be judged"):
        evaluate("shop", adapters=[None], tasks=by_number([20]))


def test_an_agent_without_verifier_is_refused_before_anything_runs(shop):
    with pytest.raises(NoVerifier):
        evaluate("quiet", adapters=[None])
    assert list(burnish.Workspace().trajectories()) == []


def test_unknown_agents_adapters_and_pools_are_one_clear_error(shop):
    with pytest.raises(UnknownAgent):
        evaluate("shp", adapters=[None])
    with pytest.raises(UnknownAdapter):
        evaluate("shop", adapters=[None, "shop@000000000000"])
    with pytest.raises(EvaluationError, match="gives no tasks of pool 'night'"):
        load_agent("shop").tasks("night")
    with pytest.raises(EvaluationError, match="3 adapters"):
        evaluate("shop", adapters=[None, None, None])
    with pytest.raises(EvaluationError, match="two tasks have the id"):
        evaluate("shop", adapters=[None], tasks=by_number([1, 1]))


def result(task: str, label: str, **more) -> AttemptResult:
    return AttemptResult(
        task_id=task, pool="heldout", kind=more.pop("kind", "k"), attempt=1, label=label, **more
    )


def test_only_pairs_that_both_verifiers_know_count():
    before = [
        result("a", "fail"),
        result("b", "success"),
        result("c", "unknown"),
        result("d", "fail"),
    ]
    after = [
        result("a", "success"),
        result("b", "fail"),
        result("c", "success"),
        result("e", "fail"),
    ]
    found = compare_pool("heldout", pair_results(before, after))
    assert (found.before.total, found.won, found.lost, found.gain) == (2, 1, 1, 0.0)


def test_arms_on_disk_hold_what_was_measured(shop, engine):
    evaluate("shop", adapters=[None], tasks=by_number([20, 21]))
    (arm,) = (Path(settings.current().home) / "evaluations" / "arms").glob("*.json")
    assert [entry["task_id"] for entry in json.loads(arm.read_text())] == [
        "heldout-20",
        "heldout-21",
    ]
