"""Evaluations measure prompts like adapters: four arms on the same tasks, cached by version, with the same gate."""

from __future__ import annotations

import json

import pytest
from prompted_agent import write_project
from typer.testing import CliRunner

import burnish
from burnish import settings
from burnish.adapters import Registry, SqlControlStore
from burnish.adapters.prompt_store import PromptStore
from burnish.cli.app import build_app
from burnish.errors import EvaluationError, RegistryError
from burnish_trainer import evaluate
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion
from burnish_trainer.gate import decide
from burnish_trainer.heldout_uses import decide_and_record
from burnish_trainer.prompts.four_arms import evaluate_arms, tabulate_arms
from burnish_trainer.prompts.registration import register_evaluated
from burnish_trainer.release import choose_version, current_version, start_canary

BETTER = "You are a clerk. Always double the price."


@pytest.fixture
def clerk(base, home, tmp_path):
    settings.configure(config=write_project(tmp_path / "project", base))
    return load_agent("clerk")


@pytest.fixture
def better(clerk):
    return PromptStore(clerk.workspace.home).put("clerk", {"system": BETTER}).id


def rate(comparison):
    return comparison.before.rate, comparison.after.rate


def test_a_prompt_is_compared_with_the_agents_own_and_each_call_is_recorded_with_it(clerk, better):
    found = evaluate("clerk", adapters=[None, None], prompts=[None, better])

    assert (found.before_prompt, found.after_prompt) == (None, better)
    assert {pool: rate(one) for pool, one in found.pools.items()} == {
        "heldout": (0.0, 1.0), "standing": (0.0, 1.0), "capability": (0.0, 1.0),
    }  # fmt: skip
    assert (found.before_prompt, found.after_prompt) == (None, better)
    policies = {
        call.policy.prompt
        for run in burnish.Workspace().trajectories(source="evaluation")
        for call in run.model_calls
    }
    assert policies == {None, better}


def test_results_are_cached_by_the_prompt_too(clerk, better):
    other = PromptStore(clerk.workspace.home).put("clerk", {"system": "double, dot"}).id
    tasks = {"heldout": clerk.tasks("heldout")}
    evaluate("clerk", adapters=[None, None], prompts=[None, better], tasks=tasks)
    again = evaluate("clerk", adapters=[None, None], prompts=[None, better], tasks=tasks)
    third = evaluate("clerk", adapters=[None, None], prompts=[better, other], tasks=tasks)

    assert again.extras["remembered"] == {"before": 12, "after": 12}
    assert third.extras["remembered"] == {"before": 12, "after": 0}


def test_the_prompt_in_service_answers_in_no_arm_but_its_own(clerk, better):
    """Arms are what they are called, whatever the pointer names."""
    target = {"backend": "own", "prompt": better}
    SqlControlStore(clerk.workspace.home).write("clerk", {"stable": target}, expected_version=0)
    assert current_version(clerk) == ArmVersion(None, better)

    tasks = {"heldout": clerk.tasks("heldout")}
    found = evaluate("clerk", adapters=[None, None], prompts=[None, better], tasks=tasks)
    assert rate(found.pools["heldout"]) == (0.0, 1.0)


def test_an_agent_that_never_asks_for_its_prompt_is_named(base, home, tmp_path, clerk, better):
    settings.configure(config=write_project(tmp_path / "project", base, "build_deaf"))
    with pytest.raises(
        EvaluationError, match=r"asked for none of the prompts .*they asked for none"
    ):
        evaluate("clerk", adapters=[None, None], prompts=[None, better])


def test_a_prompt_of_another_agent_or_name_is_refused(clerk):
    store = PromptStore(clerk.workspace.home)
    other = store.put("support", {"system": BETTER}).id
    planner = store.put("clerk", {"planner": BETTER}).id
    with pytest.raises(EvaluationError, match="is a prompt of agent 'support'"):
        evaluate("clerk", adapters=[None], prompts=[other])
    with pytest.raises(EvaluationError, match="it holds planner, they asked for system"):
        evaluate("clerk", adapters=[None], prompts=[planner])
    with pytest.raises(RegistryError, match="no prompt"):
        evaluate("clerk", adapters=[None], prompts=["clerk-prompt@" + "0" * 12])
    with pytest.raises(EvaluationError, match="1 prompts for 2 adapters"):
        evaluate("clerk", adapters=[None, None], prompts=[planner])


def test_the_arms_of_a_prompt_are_one_table_and_cost_no_level(clerk, better):
    tasks = {"heldout": clerk.tasks("heldout")}
    rows = tabulate_arms(evaluate_arms(clerk, choose_version(clerk, None, better), tasks))

    assert [(row["arm"], row["rate"], row["prompt"]) for row in rows] == [
        ("base", 0.0, None), ("prompt", 1.0, better),
    ]  # fmt: skip
    assert "decided" not in [entry["action"] for entry in Registry(clerk.workspace.home).audit()]
    with pytest.raises(EvaluationError, match="neither an adapter nor a prompt"):
        evaluate_arms(clerk, ArmVersion(), tasks)


def test_a_prompt_that_quotes_held_out_tasks_is_rejected(clerk):
    text = "Always double. Please tell me the PRICE of\n101."
    quoting = PromptStore(clerk.workspace.home).put("clerk", {"system": text}).id
    found = evaluate("clerk", adapters=[None], prompts=[quoting])
    decision = decide(found, clerk.config.gate)
    assert decision.decision == "reject"
    assert any("quotes 1 of 12 requests" in reason for reason in decision.reasons)


def test_a_prompt_goes_through_gate_registry_canary_promotion_and_rollback(clerk, better):
    found = evaluate("clerk", adapters=[None], prompts=[better])
    decision = decide_and_record(clerk.workspace.home, found, clerk.config.gate)
    assert decision.decision == "promote"
    register_evaluated(clerk, found, decision)

    status = start_canary(clerk, None, prompt=better)
    assert (status["state"], status["candidate_prompt"]) == ("CANARY", better)
    assert start_canary(clerk, None, prompt=better)["rollout"] == status["rollout"]

    graph = burnish.wrap(clerk.build(None), agent="clerk")
    answers = {ask(graph, f"t-{n}") for n in range(30)}
    assert answers == {"7", "14"}

    rollout = clerk.workspace.canary("clerk")
    rollout.promote(force=True)
    assert current_version(clerk) == ArmVersion(None, better)
    rollout.rollback("by hand")
    assert current_version(clerk) == ArmVersion()
    assert {ask(graph, f"t-{n}") for n in range(30)} == {"7"}


def ask(graph, thread):
    message = {"messages": [("user", "the price of 7")]}
    return graph.invoke(message, {"configurable": {"thread_id": thread}})["messages"][-1].text


def test_the_command_measures_registers_and_shows_the_arms(clerk, better):
    def call(*words, code=0):
        done = CliRunner().invoke(build_app(), ["eval", "clerk", *words, "--json"])
        assert done.exit_code == code, (done.output, done.exception)
        return json.loads(done.stdout)

    assert call("--prompt", better, "--register")["decision"]["decision"] == "promote"
    assert Registry(clerk.workspace.home).require("clerk", None, prompt=better).may_serve
    assert [row["arm"] for row in call("--prompt", better, "--arms", "--pool", "heldout")] == [
        "base", "prompt",
    ]  # fmt: skip
