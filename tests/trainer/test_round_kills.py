"""A round that is killed anywhere continues to the same result, and a fault in it leaves alone what is in service."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from killed_rounds import MIDDLES, SETTINGS, act_in_the_middle

import burnish
from burnish.adapters.pointer import PointerReader
from burnish_trainer.retrain import retrain
from burnish_trainer.rounds.stage_list import STAGES

NAMES = [stage.name for stage in STAGES]
SCRIPT = Path(__file__).with_name("killed_rounds.py")


STEPS = {
    "rollouts",
    "dataset",
    "train",
    "gate",
    "register",
    "canary",
}  # they write beside their receipt


def moments_of(stages: list[str]) -> list[str]:
    return [
        f"{name}:{where}"
        for name in stages
        for where in ("middle", "work", "receipt")
        if where != "work" or name in STEPS
    ]


def run_processes(home: Path, toml: Path, result: Path, moments: list[str]) -> None:
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "BURNISH_QUIET": "1"}
    command = [sys.executable, "-W", "ignore", str(SCRIPT), str(home), str(toml), str(result)]
    done = subprocess.run(
        [*command, *moments], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def rolled_out(home: Path) -> list[tuple[str, str]]:
    runs = burnish.Workspace(home).trajectories(source="rollout")
    return sorted((run.task_id, run.answer) for run in runs if run.status == "completed")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_round_that_is_killed_in_and_after_each_stage_continues_to_the_same_result(
    shop, home, tmp_path
):
    """Each moment is a process of its own, killed in the middle of a stage, before its receipt or after it."""
    toml, before, after = shop / "burnish.toml", NAMES[:2], NAMES[2:]
    run_processes(home, toml, tmp_path / "none", moments_of(before))
    whole = tmp_path / "whole"
    run_processes(whole, toml, tmp_path / "none", ["rollouts:receipt"])
    assert rolled_out(home) == rolled_out(whole), "no run is repeated and none is missing"
    assert len(rolled_out(home)) == SETTINGS["evaluate"]["rollouts"]

    twin = tmp_path / "twin"
    shutil.copytree(home, twin)
    run_processes(twin, toml, tmp_path / "uninterrupted.json", ["end"])
    run_processes(home, toml, tmp_path / "killed.json", [*moments_of(after), "end"])

    expected = json.loads((tmp_path / "uninterrupted.json").read_text())
    found = json.loads((tmp_path / "killed.json").read_text())
    assert found.pop("reused") == NAMES, "after all the kills nothing was left to do"
    assert expected.pop("reused") == before
    assert found == expected
    assert found["status"] == "canary"
    assert [run.name for run in (home / "runs").glob("retrain-*")] == ["retrain-shop-0001"]
    registered = [one["action"] for one in burnish.Workspace(home).canary("shop").store.audit()]
    assert registered.count("registered") == registered.count("decided") == 1


def in_service(home: Path) -> tuple[list[tuple[object, ...]], bytes]:
    """The control document as it is stored, and the pointer as a router reads it."""
    with sqlite3.connect(home / "control.sqlite") as base:
        rows = base.execute("SELECT agent, version, document FROM control").fetchall()
    base.close()
    reader = PointerReader(home, "shop")
    return rows, repr(reader.read()).encode()


class Fault(Exception):
    """A fault that is put into a stage."""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_fault_in_any_stage_leaves_what_is_in_service_as_it_was(shop, home, engine, monkeypatch):
    first = retrain("shop", force=True, **SETTINGS)
    burnish.Workspace().canary("shop").promote(force=True)
    before = in_service(home)
    assert first.adapter in before[1].decode()

    def fail() -> None:
        raise Fault

    for name in NAMES:
        place, function, _ = MIDDLES[name]
        with monkeypatch.context() as patched:
            patched.setattr(place, function, getattr(place, function))  # restored afterwards
            act_in_the_middle(name, fail)
            with pytest.raises(Fault):
                retrain("shop", force=True, **{**SETTINGS, "train": {"epochs": 2}})
        assert in_service(home) == before, f"{name} changed what is in service"
        run = json.loads((home / "runs" / "retrain-shop-0002" / "run.json").read_text())
        assert run["failed"]["stage"] == name
    second = retrain("shop", force=True, **{**SETTINGS, "train": {"epochs": 2}})
    assert second.status == "canary"
    assert in_service(home) != before
