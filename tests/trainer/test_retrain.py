"""One call goes through all stages, leaves a receipt at each, and continues where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import burnish
from burnish.adapters import AdapterStore, Registry
from burnish.errors import (
    CanaryError,
    EmptyDataset,
    NoVerifier,
    RegistryError,
    SettingsError,
    TrainingError,
    UnknownAgent,
)
from burnish_exporters import DatasetVersion
from burnish_exporters.curate.steps.pools import request_hash, task_hash
from burnish_trainer.report import assemble_report, find_report
from burnish_trainer.retrain import retrain
from burnish_trainer.rounds.stages import find_ended, find_unfinished, open_run
from burnish_trainer.run.storage import lock_folder

STAGES = ["readiness", "rollouts", "dataset", "plan", "train", "evaluate", "gate", "register"]
ROLLOUTS = {"rollouts": 24, "rollout_temperature": 1.0}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_retrain_goes_from_runs_to_a_canary_and_back(shop, home, engine):
    """The tiny model answers with one to four digits; right are two and four, which it can learn."""
    report = retrain("shop", evaluate=ROLLOUTS)
    assert report.status == "canary", report.decision.reasons
    assert [stage["name"] for stage in report.stages] == [*STAGES, "load", "canary"]
    assert report.decision.decision == "promote"
    assert report.evaluation.pools["heldout"].gain > 0.3
    folder = home / "runs" / report.run_id
    shown = assemble_report(find_report(home, "shop"), burnish.Workspace())
    assert (shown["run"], shown["dataset"]) == (report.run_id, report.dataset)
    attempts = shown["attempts"]["after"]
    assert attempts["all"] == sum(pool["tasks"] for pool in shown["pools"].values())
    assert attempts["runs_missing"] == 0
    assert len(shown["flips"]["fixed"]) == sum(
        pool.won for pool in report.evaluation.pools.values()
    )
    assert json.loads((folder / "report.json").read_text())["adapter"] == report.adapter
    assert AdapterStore(home).get(report.adapter).dataset == report.dataset
    assert burnish.Workspace().lineage(report.adapter)["parents"][0]["id"] == report.dataset
    assert report.canary["state"] == "CANARY"
    assert report.canary["share"] == 0.5
    assert report.canary["swap_ms"] > 0
    row = next(DatasetVersion.open(home / "datasets" / report.dataset).rows())
    (made,) = burnish.Workspace().lineage(row["trajectory_id"])["children"]
    (dataset,) = made["children"]
    (adapter,) = dataset["children"]
    assert (dataset["id"], adapter["id"]) == (report.dataset, report.adapter)
    assert [(child["kind"], child["id"]) for child in adapter["children"]] == [
        ("deployment", "shop")
    ]
    (served,) = burnish.Workspace().lineage("shop")["parents"]
    assert (served["id"], served["as"]) == (report.adapter, "canary")
    recipe = DatasetVersion.open(home / "datasets" / report.dataset).manifest.recipe
    assert request_hash("Total of order 21") in recipe["refuse_requests"]
    assert request_hash("total of order 81") not in recipe["refuse_requests"]
    refused = set(recipe["refuse_tasks"])
    assert {task_hash(f"{pool}-{n}") for pool, n in (("heldout", 20), ("standing", 47))} <= refused
    assert task_hash("train-80") not in refused
    recorded = len(burnish.Workspace().entries())
    same = retrain("shop", evaluate=ROLLOUTS)
    assert (same.status, same.run_id) == ("unchanged", report.run_id)
    assert "nothing new since round 1 (retrain-shop-0001, canary)" in same.reasons[0]
    with pytest.raises(CanaryError, match=f"a rollout of {report.adapter} is CANARY"):
        retrain("shop", evaluate=ROLLOUTS, again=True)
    assert len(burnish.Workspace().entries()) == recorded, "it is told before anything runs"
    status = burnish.Workspace().canary("shop").rollback("enough seen")
    assert status["state"] == "ROLLED_BACK"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_the_gate_stops_goes_on_only_if_forced_and_that_is_recorded(shop, home, engine):
    strict = {"min_gain": 0.99}
    report = retrain("shop", evaluate=ROLLOUTS, gate=strict)
    assert report.status in ("rejected", "inconclusive")
    assert [stage["name"] for stage in report.stages] == STAGES
    assert report.canary is None
    assert report.decision.reasons
    (stopped,) = Registry(home).list("shop")
    assert (stopped.decision, stopped.may_serve) == (report.decision.decision, False)
    (decided,) = burnish.Workspace().lineage(report.adapter)["gate"]
    assert decided["decision"] == report.decision.decision
    assert decided["facts"]["decision_on_set"] == 1
    assert json.loads(Path(stopped.evaluation).read_text())["after"] == report.adapter
    with pytest.raises(RegistryError, match="the gate's decision on"):
        Registry(home).require("shop", report.adapter)

    forced = retrain("shop", force=True, gate=strict)
    assert forced.dataset == report.dataset
    assert forced.adapter == report.adapter, "nothing new was recorded, so nothing is trained twice"
    assert forced.status == "canary"
    (candidate,) = Registry(home).list("shop")
    assert candidate.forced
    assert candidate.decision != "promote"
    assert burnish.Workspace().lineage(report.adapter)["forced"]


def test_a_run_is_gone_on_with_only_if_its_settings_are_the_same(home):
    first = open_run(home, "shop", {"epochs": 1})
    assert first.do("dataset", ["a"], lambda: {"id": "one"}) == {"id": "one"}
    again = open_run(home, "shop", {"epochs": 1})
    assert again.run_id == first.run_id == "retrain-shop-0001"
    assert again.do("dataset", ["a"], lambda: pytest.fail("done twice")) == {"id": "one"}
    assert again.do("dataset", ["b"], lambda: {"id": "two"}) == {"id": "two"}
    assert [(s["name"], s["reused"]) for s in again.done] == [("dataset", True), ("dataset", False)]
    assert open_run(home, "shop", {"epochs": 2}).run_id == "retrain-shop-0002"
    again.end({})
    assert find_ended(home, "shop", {"epochs": 1}) == first.folder
    assert find_unfinished(home, "shop", {"epochs": 1}) is None
    assert open_run(home, "shop", {"epochs": 1}).run_id == "retrain-shop-0003"


def test_a_torn_receipt_is_no_receipt(home):
    stages = open_run(home, "shop", {})
    stages.do("dataset", [], lambda: 1)
    (stages.folder / "stages" / "dataset.json").write_text('{"inputs_sha256": "')
    assert stages.do("dataset", [], lambda: 2) == 2


def test_two_processes_cannot_retrain_one_agent(shop, home):
    with (
        lock_folder(home / "runs" / ".lock-shop", "a retrain of 'shop'"),
        pytest.raises(TrainingError, match="already running"),
    ):
        retrain("shop")


@pytest.mark.slow
def test_a_workspace_without_a_success_is_an_empty_dataset(shop, home, engine):
    with pytest.raises(EmptyDataset, match="0 training rows"):
        retrain("shop")
    assert list(burnish.Workspace().trajectories(source="evaluation")) == []


def test_what_is_missing_is_told_before_anything_runs(shop, home, tmp_path):
    with pytest.raises(UnknownAgent, match="shp"):
        retrain("shp")
    with pytest.raises(NoVerifier, match="no verifier"):
        retrain("quiet")
    with pytest.raises(SettingsError, match="'epoch'"):
        retrain("shop", train={"epoch": 4})
    with pytest.raises(SettingsError, match="unknown key 'trian'; expected 'train'"):
        retrain("shop", trian={})
    with pytest.raises(SettingsError, match="epochs"):
        retrain("shop", train={"epochs": "many"})
    (shop / "burnish.toml").write_text("[agent.shop\n")
    with pytest.raises(SettingsError):
        retrain("shop")
    (shop / "burnish.toml").unlink()
    with pytest.raises(SettingsError):
        retrain("shop")


@pytest.mark.slow
def test_without_a_judge_of_the_canary_retrain_stops_before_it_and_says_so(shop, home, engine):
    toml = shop / "burnish.toml"
    toml.write_text(toml.read_text().replace('decides = "goal_state"\n', ""))
    report = retrain("shop", evaluate=ROLLOUTS, force=True)
    assert report.status == "stopped"
    assert "decides" in report.reasons[-1]
    assert len(Registry(home).list("shop")) == 1
