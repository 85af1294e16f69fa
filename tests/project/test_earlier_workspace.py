"""Reads a workspace that an earlier version wrote: each fact that was recorded then is read now.

`written_by_99de4c1/` was written by the code of commit 99de4c1. It holds runs of a LangGraph agent (tools,
a failure, an interrupt and its continuation, recorded states, outcomes), a run recorded by hand, imported
demonstrations, verdicts, labels of people, a dataset, an adapter and a canary. `expected.json` is what
that version read of them. Fields that were added since may stand beside.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

import burnish
from burnish import settings
from burnish.adapters import AdapterStore, Registry
from burnish.canary import Rollout
from burnish_exporters import DatasetVersion

WRITTEN = Path(__file__).parent / "written_by_99de4c1"
EXPECTED = json.loads((WRITTEN / "expected.json").read_text())


@pytest.fixture
def home(tmp_path: Path):
    shutil.copytree(WRITTEN / "home", tmp_path / "home")
    settings.configure(home=tmp_path / "home")
    yield tmp_path / "home"
    settings.reset()


def differences(expected: Any, found: Any, place: str = "") -> list[str]:
    """Places where a value that the earlier version read is missing or another one now."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for name, value in expected.items()
            for line in differences(value, found.get(name, "missing"), f"{place}.{name}")
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [
            line
            for number, (one, other) in enumerate(zip(expected, found, strict=True))
            for line in differences(one, other, f"{place}[{number}]")
        ]
    return [] if expected == found else [f"{place}: {expected!r} was read, now {found!r}"]


def plain(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True)


def test_every_run_is_read_as_by_the_version_that_recorded_it(home):
    workspace = burnish.Workspace()
    found = {entry.id: plain(workspace.trajectory(entry.id)) for entry in workspace.entries()}
    expected = {run["id"]: run for run in EXPECTED["trajectories"]}
    assert found.keys() == expected.keys()
    for name, run in expected.items():
        assert differences(run, found[name]) == []


def test_its_dataset_is_read_row_by_row_and_hashes_to_its_name(home):
    (folder,) = (home / "datasets").iterdir()
    version = DatasetVersion.open(folder)
    version.verify()
    rows = sorted((plain(row) for row in version.rows()), key=lambda row: row["trajectory_id"])
    assert differences(EXPECTED["rows"], rows) == []
    assert differences(EXPECTED["manifest"], plain(version.manifest)) == []


def test_its_adapter_and_its_canary_go_on(home):
    adapter = EXPECTED["adapter"]["id"]
    assert differences(EXPECTED["adapter"], plain(AdapterStore(home).get(adapter))) == []
    candidates = [plain(candidate) for candidate in Registry(home).list("desk")]
    assert differences(EXPECTED["candidates"], candidates) == []
    rollout = Rollout(home, "desk")
    assert differences(EXPECTED["rollout"], plain(rollout.document())) == []
    assert rollout.rollback("seen by a later version")["state"] == "ROLLED_BACK"
