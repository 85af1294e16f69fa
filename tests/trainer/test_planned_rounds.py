"""A plan shows what a round costs, changes nothing in service, and the round continues from it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import burnish
from burnish.adapters.store import AdapterStore
from burnish.cli.app import build_app
from burnish.errors import TrainingError
from burnish_trainer.retrain import retrain
from burnish_trainer.rounds.history import read_rounds

SETTINGS = {"evaluate": {"rollouts": 16}, "train": {"epochs": 2}}
OPTIONS = ("--set", "evaluate.rollouts=16", "--set", "train.epochs=2")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_round_stops_at_its_plan_until_it_is_approved(shop, home, engine, monkeypatch):
    monkeypatch.delenv("BURNISH_QUIET")
    runner, app = CliRunner(), build_app()

    shown = runner.invoke(app, ["plan", "shop", *OPTIONS, "--json"])
    assert shown.exit_code == 0, shown.output
    told = json.loads(shown.stdout)
    assert (told["status"], told["adapter"]) == ("planned", None)
    training, evaluation = told["plan"]["training"], told["plan"]["evaluation"]
    assert training["rows"]["rows"] == training["rows"]["sequences"] > 0
    assert training["steps"] == -(-2 * training["rows"]["sequences"] // 4)
    assert training["estimate"]["seconds"] > 0
    assert training["estimate"]["memory_bytes"] > 0
    assert (evaluation["tasks"], evaluation["attempts"]) == (24, 48)
    assert told["plan"]["advice"]["objective"] == "sft"
    assert "8 held-out tasks, a new result is decision 1 on them" in told["plan"]["power"]

    said = runner.invoke(app, ["retrain", "shop", *OPTIONS, "--dry-run"])
    assert (said.exit_code, "a dry run stops at the plan" in said.stderr) == (0, True)
    asked: list[dict] = []

    def decline(plan: dict) -> bool:
        asked.append(plan)
        return False

    declined = retrain("shop", approve=decline, **SETTINGS)
    assert declined.status == "planned"
    assert asked == [told["plan"]]
    assert not list((home / "adapters").glob("*")), "nothing is trained"
    assert burnish.Workspace().canary("shop").document().state == "NONE"
    (unfinished,) = read_rounds(home, "shop")
    assert unfinished.status == "unfinished"

    done = runner.invoke(app, ["retrain", "shop", *OPTIONS])
    assert done.exit_code in (0, 3), done.output
    assert "no terminal to ask on: the round continues" in done.stderr
    (finished,) = read_rounds(home, "shop")
    assert finished.adapter
    assert finished.run_id == told["run_id"]
    assert len(finished.prompts) == 0, "the shop has no system prompt"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_harder_objective_is_refused_before_training_and_what_is_forced_is_in_the_lineage(
    shop, home, engine
):
    harder = {**SETTINGS, "train": {"epochs": 1, "objective": "kto"}}
    with pytest.raises(TrainingError, match="objective 'kto' without evidence"):
        retrain("shop", **harder)
    (failed,) = read_rounds(home, "shop")
    assert (failed.status, failed.failed["stage"]) == ("failed", "plan")
    report = retrain("shop", force=True, canary=False, **harder)
    (_, forced) = read_rounds(home, "shop")
    assert (forced.objective, forced.adapter) == ("kto", report.adapter)
    trail = burnish.Workspace().canary("shop").store.audit("shop")
    (unready,) = [one["detail"] for one in trail if one["action"] == "unready"]
    assert any("objective 'kto' without evidence" in line for line in unready["findings"])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_last_step_is_reinforcement_on_the_agent_itself_and_needs_evidence(shop, home, engine):
    settings = {
        "evaluate": {"rollouts": 16},
        "train": {"objective": "grpo", "learning_rate": 1e-2, "rank": 4},
        "online": {"steps": 2, "tasks_per_step": 2, "group_size": 4, "credit": "rloo"},
    }
    with pytest.raises(TrainingError, match="objective 'grpo' without evidence that 'sft'"):
        retrain("shop", **settings)
    report = retrain("shop", force=True, canary=False, **settings)
    (_, forced) = read_rounds(home, "shop")
    assert (forced.objective, forced.adapter) == ("grpo", report.adapter)
    plan = json.loads((home / "runs" / forced.run_id / "stages" / "plan.json").read_text())[
        "output"
    ]
    assert plan["training"]["attempts"] == 16
    assert any("objective 'grpo' without evidence" in line for line in plan["forced"])
    assert AdapterStore(home).get(report.adapter).plan["objective"] == "online/rloo"
    assert report.evaluation.after == report.adapter


def test_a_dataset_cannot_be_trained_on_by_fresh_attempts(home, base):
    from burnish_trainer import train

    with pytest.raises(TrainingError, match="a dataset has none"):
        train(None, base_model=base, objective="grpo")
