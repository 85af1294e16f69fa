"""The guard stops loops that replace their data or learn unverified runs, and lets loops that add to it run."""

from __future__ import annotations

import importlib.util
from itertools import combinations
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from gate_by_hand import measured, pool

from burnish_trainer.evaluation.guards.collapse import check_collapse
from burnish_trainer.evaluation.guards.drift import (
    Surroundings,
    compare_surroundings,
    name_other_models,
)
from burnish_trainer.evaluation.guards.pass_at_k import mean_pass_at_k, pass_at_k
from burnish_trainer.evaluation.guards.round_facts import RoundFacts, measure_data
from burnish_trainer.gate import decide


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "gate" / "collapse.py"
    spec = importlib.util.spec_from_file_location("collapse_simulation", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_loop_that_adds_verified_runs_is_never_stopped(simulation, seed):
    facts = simulation.simulate_loop(0.0, replace=False, seed=seed)
    assert simulation.find_stop(facts) is None
    rare = [part / whole for part, whole in (past.kinds["legal"] for past in facts)]
    assert rare[-1] > rare[0] + 0.3


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_loop_that_replaces_its_data_is_stopped_by_the_fourth_round(simulation, seed):
    facts = simulation.simulate_loop(0.0, replace=True, seed=seed, rounds=4)
    assert simulation.find_stop(facts) in (2, 3, 4)
    found = check_collapse(facts[: simulation.find_stop(facts) + 1])
    (one,) = [finding for finding in found if finding.severity == "reject"]
    assert one.name == "collapse.replacement"
    assert "verified runs of legal" in one.statement or "verified runs of address" in one.statement


def test_a_loop_that_learns_unverified_runs_is_stopped_at_once(simulation):
    facts = simulation.simulate_loop(1.0, replace=False, seed=1, rounds=1)
    assert simulation.find_stop(facts) == 1
    (one,) = [f for f in check_collapse(facts) if f.severity == "reject"]
    assert one.name == "collapse.unverified"


def facts(**more) -> RoundFacts:
    given = {
        "tasks_sha256": "t",
        "success": (60, 100),
        "kinds": {"a": (30, 50), "b": (30, 50)},
        "runs": 100,
        "actions": 150,
        "sequences": 90,
        "states": 80,
        "entropy": 0.8,
    }
    return RoundFacts(**{**given, **more})


def names(*rounds: RoundFacts) -> dict[str, str]:
    return {one.name: one.severity for one in check_collapse(rounds)}


def test_the_same_act_everywhere_is_a_collapse_unless_success_pays_for_it():
    same = facts(actions=5, sequences=4, states=3)
    assert names(facts(), same) == {"collapse.diversity": "reject"}
    assert names(facts(), msgspec.structs.replace(same, success=(95, 100))) == {}
    # Another set of tasks has other actions.
    assert names(facts(), msgspec.structs.replace(same, tasks_sha256="u")) == {}


def test_a_kind_of_tasks_that_is_lost_is_named():
    lost = facts(kinds={"a": (50, 50), "b": (10, 50)})
    assert names(facts(), lost) == {"collapse.kind": "reject"}
    assert names(facts(), facts(kinds={"a": (29, 50), "b": (27, 50)})) == {}


def test_fewer_tasks_solved_at_all_and_low_entropy_are_told():
    before = facts(pass_at={"1": 0.5, "8": 0.9}, success=(400, 800))
    assert names(before, facts(pass_at={"1": 0.5, "8": 0.6}, success=(400, 800))) == {
        "collapse.pass_at_k": "doubt"
    }
    assert names(before, facts(pass_at={"1": 0.7, "8": 0.88}, success=(560, 800))) == {}
    assert names(before, facts(entropy=0.1)) == {"collapse.entropy": "note"}


def test_rounds_of_own_runs_alone_are_noted_and_demonstrations_end_that():
    own = facts(sources={"rollout": 90, "production": 10})
    assert names(own, own) == {}
    assert names(own, own, own) == {"collapse.external": "note"}
    assert names(own, own, facts(sources={"rollout": 90, "demonstration": 10})) == {}


def test_runs_that_a_dataset_dropped_are_counted_by_kind():
    def row(run, kind):
        return {"trajectory_id": run, "kind_tags": [f"kind:{kind}"], "source": "rollout"}

    first, collected = measure_data([row("1", "a"), row("2", "a"), row("2", "a")], {})
    assert first["used"] == first["collected"] == {"a": 2}
    second, collected = measure_data([row("3", "b")], collected)
    assert second["used"] == {"b": 1}
    assert second["collected"] == {"a": 2, "b": 1}
    assert collected == {"1": "a", "2": "a", "3": "b"}


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 3), (4, 0, 2), (4, 4, 4), (6, 1, 1), (3, 2, 3)])
def test_pass_at_k_is_the_share_of_choices_that_hold_a_success(n, c, k):
    chosen = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, chosen)) / len(chosen))
    assert mean_pass_at_k([[True] * c + [False] * (n - c)], k) == pass_at_k(n, c, k)


def test_pass_at_k_of_more_attempts_than_were_made_is_refused():
    with pytest.raises(ValueError, match="pass@3"):
        pass_at_k(2, 1, 3)


def test_what_changed_around_the_agent_is_named():
    then = Surroundings(
        base_sha256="aaa",
        learning={"judge": "1"},
        proof={"goal_state": "1"},
        tasks={"heldout": "h", "standing": "s"},
        prompts=["p"],
        tools=["t"],
    )
    assert compare_surroundings(then, then) == []
    now = Surroundings(
        base_sha256="bbb",
        learning={"judge": "2"},
        proof={"goal_state": "2"},
        tasks={"heldout": "h", "standing": "s2"},
        prompts=["q"],
        tools=["u"],
    )
    found = compare_surroundings(then, now)
    assert [one.name for one in found] == [
        "drift.verifier",
        "drift.verifier",
        "drift.base",
        "drift.tasks",
        "drift.prompt",
        "drift.tool",
    ]
    assert "the pool standing has other tasks" in found[3].statement
    assert {one.severity for one in found} == {"note"}
    # An earlier version wrote nothing about its verifiers: nothing is claimed.
    assert compare_surroundings(Surroundings(), now) == []


def test_replies_of_another_model_are_named():
    found = name_other_models({"starter": 5, "gpt-9": 3}, {"starter"}, "starter")
    assert "gpt-9 (3)" in found[0].statement
    assert "licences" in found[0].statement
    assert name_other_models({"starter": 5}, {"starter"}, "starter") == []


@pytest.mark.parametrize(
    ("severity", "decision"),
    [("reject", "reject"), ("doubt", "inconclusive"), ("note", "promote")],
)
def test_the_gate_weighs_what_the_guards_found(severity, decision):
    finding = {"name": "collapse.kind", "severity": severity, "statement": "success on b fell"}
    found = decide(
        measured(
            pool("heldout", total=200, before=80, won=60, lost=2),
            extras={"guards": {"findings": [finding]}},
        )
    )
    assert found.decision == decision
    assert (severity == "note") != ("success on b fell" in found.reasons)
