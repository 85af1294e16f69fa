"""An adapter gets its first threads; a warning names verifiers of the canary below their precision floor."""

from __future__ import annotations

import json

import msgspec
import pytest

import burnish
from burnish.canary import Rollout
from burnish.errors import CanaryError
from burnish.records import Decision, Evaluation
from burnish.serving.embedded.engine import Engine
from burnish_exporters.verify.trust.metrics import audit
from burnish_exporters.verify.trust.verifier_quality import Measurement, QualityStore
from burnish_trainer import train
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.release import (
    canary_settings,
    canary_warnings,
    refuse_without_window,
    register_adapter,
    start_canary,
)

WRONG = (
    "the precision of goal_state may be as low as 48% (30 of 48 audited successes were right), "
    "its floor is 90%"
)


def measured(home, subject, *, right, wrong, version=None):
    """Keep an audit in which so many of the verifier's successes were right and wrong.

    Of 30 right and 18 wrong, Wilson's lower bound is (.665 - .1427) / 1.08 = .484; of 48 right ones, 1 / 1.08 = .926.
    """
    pairs = [("success", "success")] * right + [("success", "fail")] * wrong
    (verifier,) = subject.verifiers
    found = Measurement(
        verifier=verifier.name,
        version=version or verifier.version,
        quality=audit(pairs),
        floor=0.9,
        measured_ns=1,
    )
    QualityStore(home).put(subject.name, [found])


def edited(shop, before, after):
    path = shop / "burnish.toml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    return load_agent("shop")


def test_who_was_never_measured_is_not_spoken_of(shop, home):
    subject = load_agent("shop")
    assert canary_warnings(subject) == []
    measured(home, subject, right=30, wrong=18, version="another")
    assert canary_warnings(subject) == []


def test_only_a_precision_that_may_be_below_the_floor_is_a_doubt(shop, home):
    subject = load_agent("shop")
    measured(home, subject, right=48, wrong=0)
    assert canary_warnings(subject) == []
    measured(home, subject, right=30, wrong=18)
    assert canary_warnings(subject) == [WRONG]


def test_the_floor_is_the_one_that_burnish_toml_declares(shop, home):
    subject = edited(shop, "max_per_task = 4", "max_per_task = 4\nverifier_floor = 0.45")
    measured(home, subject, right=30, wrong=18)
    assert canary_warnings(subject) == []


def test_a_verifier_that_does_not_decide_is_not_asked_about(shop, home):
    subject = edited(shop, 'decides = "goal_state"', 'decides = "crm"')
    measured(home, subject, right=30, wrong=18)
    assert canary_warnings(subject) == []


def test_a_source_of_outcomes_needs_a_maturity_window_before_any_work(shop, home):
    assert canary_settings(load_agent("shop")).maturity_s == 0.0, "a verifier decides"
    refuse_without_window(load_agent("shop"))

    subject = edited(shop, 'decides = "goal_state"', 'decides = "crm"')
    assert canary_settings(subject).maturity_s is None
    with pytest.raises(CanaryError, match="no maturity window for 'crm'"):
        refuse_without_window(subject)

    subject = edited(shop, 'decides = "crm"', 'decides = "crm"\nmaturity_s = 3600')
    refuse_without_window(subject)


@pytest.fixture
def candidate(shop, home, base, orders):
    """A registered version of the agent."""
    recipe = {"name": "shop", "rank": 4, "epochs": 2, "learning_rate": 1e-2, "batch_size": 8}
    version = train(orders, base_model=base, recipe=recipe)
    facts = {"agent": "shop", "base_model": str(base), "pools": {}, "trajectories": 0}
    report = home / "evaluation.json"
    report.write_bytes(msgspec.json.encode(Evaluation(before=None, after=version.id, **facts)))
    decision = Decision(decision="promote", reasons=["better"])
    register_adapter(load_agent("shop"), version.id, report, decision)
    yield version.id
    Engine.close_shared()


@pytest.mark.slow
def test_a_canary_that_is_decided_below_the_floor_starts_and_says_so_as_long_as_it_lives(
    candidate, home, command_line
):
    subject = load_agent("shop")
    measured(home, subject, right=30, wrong=18)

    status = start_canary(subject, candidate)

    assert (status["state"], status["doubts"]) == ("CANARY", [WRONG])
    assert Rollout(home, "shop").document().events[0].reason == f"passed the gate; {WRONG}"
    assert start_canary(subject, candidate)["doubts"] == [WRONG], "called again"
    _, printed, _ = command_line("canary", "status", "shop", "--home", home, "--json")
    assert json.loads(printed)["doubts"] == [WRONG]
    _, printed, _ = command_line("canary", "status", "shop", "--home", home)
    assert "the precision of goal_state may be as low as 48%" in " ".join(printed.split())
    burnish.Workspace().canary("shop").rollback("enough seen")
    assert Rollout(home, "shop").status()["doubts"] == [WRONG]


@pytest.mark.slow
def test_a_canary_whose_judge_was_never_measured_starts_as_ever(candidate, home, command_line):
    status = start_canary(load_agent("shop"), candidate)

    assert (status["state"], status["doubts"]) == ("CANARY", [])
    assert Rollout(home, "shop").document().events[0].reason == "passed the gate"
    _, printed, _ = command_line("canary", "status", "shop", "--home", home)
    assert "doubts" not in printed
