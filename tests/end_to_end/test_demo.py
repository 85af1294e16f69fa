"""The demo runs the whole loop: an adapter gains and is promoted, and a bad adapter is rolled back automatically."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest

from burnish.workspace import Workspace

# One worker plays the demo, and all tests of it read what it left.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("demo")]

KINDS = {"field", "count", "latest", "act", "recover", "refuse"}


def test_the_facts_hold_what_is_promised(played):
    facts = played.facts
    assert {
        "base",
        "rounds",
        "canary",
        "rollback",
        "swap_ms",
        "overhead",
        "trajectories",
        "seconds_total",
        "versions",
    } <= set(facts)
    (one,) = facts["rounds"]
    assert {
        "heldout",
        "by_kind",
        "standing",
        "capability",
        "gate",
        "rows",
        "dropped",
        "seconds",
    } <= set(one)
    assert {"before", "after", "gain", "ci95"} <= set(one["heldout"])
    assert {"decision", "reasons"} <= set(one["gate"])
    assert {"decision", "threads", "seconds"} <= set(facts["canary"])
    assert {"injected", "decision", "canary_threads", "seconds"} <= set(facts["rollback"])
    assert {"per_run_ms", "percent"} <= set(facts["overhead"])
    assert set(one["by_kind"]) == KINDS


def test_one_retrain_gains_twenty_points_on_tasks_it_never_saw(played):
    heldout = played.facts["rounds"][0]["heldout"]
    assert heldout["tasks"] >= 150
    assert 0.4 <= heldout["before"] <= 0.7
    assert heldout["gain"] >= 0.20
    assert heldout["ci95"][0] > 0
    assert heldout["gain"] == pytest.approx((heldout["won"] - heldout["lost"]) / heldout["tasks"])


def test_nothing_that_worked_is_lost(played):
    one = played.facts["rounds"][0]
    assert one["standing"]["gain"] >= 0
    assert one["capability"]["gain"] >= -0.05
    assert one["gate"]["decision"] == "promote"


def test_only_verified_runs_were_learned_from_and_the_rest_is_counted(played):
    one = played.facts["rounds"][0]
    source = one["funnel"][0]
    assert one["rows"] + sum(one["dropped"].values()) == source["kept"] + sum(
        source["dropped"].values()
    )
    assert one["dropped"]["failed"] > 50
    workspace = Workspace(played.folder / "workspace")
    learned = {row["trajectory_id"] for row in _rows(played, one["dataset"])}
    for trajectory_id in sorted(learned)[:20]:
        (verdict,) = workspace.trajectory(trajectory_id).verdicts
        assert verdict.label == "success"


def _rows(played, dataset):
    from burnish_exporters import DatasetVersion

    return list(
        DatasetVersion.open(played.folder / "workspace" / "datasets" / dataset).rows("train")
    )


def test_the_canary_promotes_the_new_adapter(played):
    canary = played.facts["canary"]
    assert canary["decision"] == "promoted"
    assert canary["canary_threads"] >= 20
    assert canary["dropped"] == canary["mixed"] == 0


def test_the_bad_adapter_is_twenty_points_worse_forced_and_rolled_back_soon(played):
    bad = played.facts["rollback"]
    assert bad["gate"]["decision"] == "reject"
    assert bad["heldout"]["gain"] <= -0.20
    assert bad["decision"] == "rolled_back"
    assert bad["canary_threads"] <= 40
    assert bad["dropped"] == bad["mixed"] == 0
    lineage = Workspace(played.folder / "workspace").lineage(bad["injected"])
    assert lineage["forced"]


def test_afterwards_the_promoted_adapter_serves(played):
    assert played.facts["served"]["adapter"] == played.facts["rounds"][0]["adapter"]
    status = Workspace(played.folder / "workspace").canary("support").status()
    assert status["state"] == "ROLLED_BACK"
    assert status["stable"] == played.facts["rounds"][0]["adapter"]


def test_the_adapter_names_its_data_and_its_data_names_its_runs(played):
    one = played.facts["rounds"][0]
    lineage = Workspace(played.folder / "workspace").lineage(one["adapter"])
    assert not lineage["forced"]
    (parent,) = lineage["parents"]
    assert parent["id"] == one["dataset"]


def test_the_page_needs_nothing_else(played):
    page = (played.folder / "report.html").read_text()
    assert page.count("<svg") == 4
    outside = set(re.findall(r"(?:src|href)=[\"']?(?!#)([^\"' >]+)", page))
    assert outside == set()


def test_the_terminal_tells_each_stage_and_ends_with_the_table(played):
    for word in (
        "users-1",
        "dataset",
        "train",
        "evaluate",
        "gate",
        "canary",
        "success in %",
        "demo settings",
    ):
        assert word in played.shown
    assert played.shown.index("CANARY at 25 %") < played.shown.index("promoted: not worse")


def test_an_interrupted_demo_says_so_and_goes_on(tmp_path):
    command = [sys.executable, "-m", "burnish.cli", "demo", "--home", "demos"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stderr:
            if line.startswith("users-1"):
                running.send_signal(signal.SIGINT)
                break
        rest = running.stderr.read()
        assert running.wait() == 130, rest
    assert "Traceback" not in rest
    (folder,) = (tmp_path / "demos").iterdir()
    assert (folder / "receipts" / "stages" / "overhead.json").exists()

    from burnish_trainer.demo.options import DemoOptions
    from burnish_trainer.demo.scene import open_scene

    with open_scene(DemoOptions(home=tmp_path / "demos", quiet=True)) as scene:
        assert scene.folder == folder
        assert scene.stages.do("overhead", scene.stage_inputs(), lambda: pytest.fail("done twice"))
        (folder / "facts.json").write_text(json.dumps({}))
    with open_scene(DemoOptions(home=tmp_path / "demos", quiet=True)) as scene:
        assert scene.folder.name == "0002"


def test_learning_from_the_agents_own_claim_makes_it_no_better(tmp_path):
    from burnish_trainer.demo import DemoOptions, run_demo

    facts = run_demo(DemoOptions(home=tmp_path, verify="claim", sabotage=False, quiet=True))
    heldout = facts["rounds"][0]["heldout"]
    assert heldout["after"] <= heldout["before"]
    assert facts["rounds"][0]["gate"]["decision"] == "reject"
    assert facts["canary"] is None
    assert facts["served"]["adapter"] is None
