"""Runs are learned from by `verify`; adapters are proven by `prove`, which needs no outcome of a user."""

from __future__ import annotations

import pytest

import burnish
from burnish.project import decode_agent
from burnish_exporters.verify.roles import make_learning_verifiers, make_proof_verifiers
from burnish_trainer import collect, evaluate
from burnish_trainer.evaluation import RunOptions
from burnish_trainer.evaluation.agent_project import load_agent

GOAL = {"goal_state": "shop:even_length"}


def names(verify, prove=(), folder="."):
    table = {"build": "shop:build", "base_model": "starter", "verify": verify, "prove": list(prove)}
    config = decode_agent("shop", table, "burnish.toml, [agent.shop]")
    return tuple(
        [v.name for v in make(config, folder)]
        for make in (make_learning_verifiers, make_proof_verifiers)
    )


@pytest.mark.parametrize(
    ("verify", "proven_by"),
    [
        (["outcome", GOAL], ["goal_state"]),
        ([GOAL], ["goal_state"]),
        (["outcome"], ["outcome"]),
        (["outcome", "tool_calls"], ["outcome", "tool_calls"]),
        (["tool_calls"], ["tool_calls"]),
        ([{"any_of": ["human", GOAL]}, GOAL], ["goal_state"]),
    ],
)
def test_by_default_what_needs_no_outcome_proves(shop, verify, proven_by):
    learned, proven = names(verify, folder=shop)
    assert proven == proven_by
    assert len(learned) == len(verify)


def test_prove_is_taken_as_it_is_written(shop):
    assert names(["outcome"], [GOAL], shop) == (["outcome"], ["goal_state"])
    assert names([GOAL], ["outcome"], shop) == (["goal_state"], ["outcome"])


@pytest.mark.slow
def test_an_evaluation_is_graded_by_prove_and_fresh_runs_by_verify(shop, engine):
    toml = shop / "burnish.toml"
    line = 'verify = [{ goal_state = "shop:even_length" }]'
    assert line in toml.read_text()
    toml.write_text(
        toml.read_text().replace(line, f'verify = ["outcome"]\n{line.replace("verify", "prove")}')
    )
    subject = load_agent("shop")
    found = evaluate(subject, adapters=[None], tasks=subject.tasks("heldout", 3))
    assert found.unknown == {}
    assert found.pools["heldout"].before.total == 3
    graded = {v.verifier for t in burnish.Workspace().trajectories() for v in t.verdicts}
    assert graded == {"goal_state"}
    fresh = collect(subject, subject.tasks("train", 2), options=RunOptions(source="rollout"))
    assert [r.label for r in fresh.results] == ["unknown", "unknown"]
    rolled = burnish.Workspace().trajectories(source="rollout")
    assert {v.verifier for t in rolled for v in t.verdicts} == {"outcome"}
