"""A damaged file of a dataset, an adapter or the control database stops nothing and is named."""

from __future__ import annotations

import json
import os
import sqlite3

import pyarrow as pa
import pytest
from pyarrow import parquet

from burnish.adapters.prompt_store import PromptStore
from burnish.cli.doctor import check_all
from burnish.errors import RegistryError, WorkspaceError
from burnish.journal.writer import writer_for
from burnish.testing.recording import Recording
from burnish.workspace import Workspace

DAMAGE = ["empty", "noise", "list", "wrong types", "deep", "folder", "pipe", "loop"]
FILES = [
    "adapters/support@222222222222/burnish.json",
    "datasets/support@444444444444/manifest.json",
    "datasets/support@444444444444/rows/train.parquet",
    "control.sqlite",
]


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def damage(path, how):
    path.unlink()
    content = {
        "empty": b"",
        "noise": b"\x00\xff{\xfe" * 20,
        "list": b"[]",
        "wrong types": b'{"parents": {"a": 1}, "dataset": [{}]}',
        "deep": b"[" * 100_000,
    }
    if how in content:
        path.write_bytes(content[how])
    elif how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path.name)


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    made = Recording(home, writer_for(home))
    made.write_run("a" * 32, thread_id="anna-1", user="anna", task="ANNAS wish")
    for name, dataset in (("1" * 12, "3" * 12), ("2" * 12, "4" * 12)):
        version = f"support@{dataset}"
        put(home / f"adapters/support@{name}/burnish.json", {"dataset": version})
        put(home / f"datasets/{version}/manifest.json", {"id": version})
        rows = home / f"datasets/{version}/rows/train.parquet"
        rows.parent.mkdir()
        parquet.write_table(pa.table({"row_id": ["r"], "trajectory_id": ["a" * 32]}), rows)
    with sqlite3.connect(home / "control.sqlite") as base:
        base.execute("CREATE TABLE other (x)")
    return home


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_named_and_the_others_are_found(home, file, how):
    if file == "control.sqlite" and how == "empty":
        pytest.skip("an empty file is a database without tables")
    damage(home / file, how)

    found = Workspace(home).lineage("support@333333333333")
    findings = {finding.name: finding for finding in check_all(home, imports=False)}
    report = Workspace(home).forget(user="anna")

    assert [node["id"] for node in found["children"]] == ["support@111111111111"]
    assert found["unread"] == report.unread == [str(home / file)]
    assert str(home / file) in findings["versions made"].detail
    assert not findings["versions made"].ok
    assert report.trajectories == ["a" * 32]
    assert "support@333333333333" in report.datasets
    assert "support@111111111111" in report.adapters


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_prompt_is_named_and_the_others_are_found(home, how):
    store = PromptStore(home)
    bad, good = (store.put("support", {"system": text}).id for text in ("Be brief.", "Be kind."))
    path = home / "prompts" / bad / "prompt.json"
    damage(path, how)

    assert [version.id for version in store.list()] == [good]
    with pytest.raises(RegistryError, match="altered or damaged"):
        store.get(bad)
    assert Workspace(home).lineage(good)["unread"] == [str(path)]
    (found,) = [one for one in check_all(home, imports=False) if one.name == "versions made"]
    assert (found.ok, str(path) in found.detail) == (False, True)


@pytest.mark.parametrize("how", DAMAGE)
def test_a_prompt_with_a_damaged_report_serves(home, how):
    store = PromptStore(home)
    made = store.put("support", {"system": "Be brief."}, report={"score": 1}).id
    damage(home / "prompts" / made / "report.json", how)
    assert store.get(made).texts == {"system": "Be brief."}
    assert store.report(made) == (
        {"parents": {"a": 1}, "dataset": [{}]} if how == "wrong types" else {}
    )


def test_nothing_is_named_where_all_is_whole(home):
    assert Workspace(home).forget(user="anna").unread == []
    assert "unread" not in Workspace(home).lineage("support@333333333333")
    assert next(f for f in check_all(home, imports=False) if f.name == "versions made").ok


@pytest.mark.parametrize("how", ["empty", "folder", "pipe", "loop"])
def test_a_damaged_key_is_named_and_keeps_nobody_from_reading(home, how):
    key = home / "redaction.key"
    key.write_text("k")
    damage(key, how)

    assert len(list(Workspace(home).trajectories())) == 1
    with pytest.raises(WorkspaceError, match=r"redaction.key (cannot be read|is empty)"):
        Workspace(home).forget(user="anna")
    finding = next(f for f in check_all(home, imports=False) if f.name == "journal")
    assert not finding.ok
    assert "redaction.key" in finding.detail
