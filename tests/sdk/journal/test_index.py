"""Guarantees of the index: it covers the whole journal, and its loss loses no data."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap

import pytest

from burnish.journal.index.trajectory_index import Index, Query
from burnish.journal.reader import process_folders, segments
from burnish.journal.writer import JournalWriter
from burnish.settings import Settings
from burnish.testing.recording import Recording
from burnish.workspace import Workspace


@pytest.fixture
def recorded(tmp_path):
    writer = JournalWriter(tmp_path, Settings(segment_bytes=6000))
    recording = Recording(tmp_path, writer)
    for number in range(12):
        recording.write_run(
            f"{number:032x}",
            steps=1 + number % 3,
            agent="support" if number % 2 else "sales",
            thread_id=f"t-{number % 4}",
            source="production" if number % 3 else "rollout",
        )
    return recording


def everything(index: Index) -> list:
    entries = index.find(Query())
    return [
        (entry, index.places(entry.id), index.starting_with(entry.id[:31])) for entry in entries
    ]


def test_trajectories_are_found_by_what_is_known_of_them(recorded, tmp_path):
    index = Index(tmp_path)
    index.refresh()
    found = index.find(Query())

    assert [entry.id for entry in found] == [f"{number:032x}" for number in range(12)]
    assert {entry.agent for entry in index.find(Query(agent="sales"))} == {"sales"}
    assert len(index.find(Query(agent="sales", source="rollout"))) == 2
    assert len(index.find(Query(since_ns=found[5].started_ns))) == 7
    assert len(index.find(Query(thread_id="t-1"))) == 3
    assert [entry.status for entry in index.find(Query(status="completed"))] == ["completed"] * 12
    assert index.find(Query(status="failed")) == []


def test_an_index_that_is_made_again_says_the_same(recorded, tmp_path):
    grown = Index(tmp_path)
    grown.refresh()
    recorded.write_run("f" * 32)
    grown.refresh()
    before = everything(grown)
    grown.close()
    (tmp_path / "index.sqlite").unlink()

    fresh = Index(tmp_path)
    fresh.refresh()

    assert everything(fresh) == before
    assert fresh.report() == grown.report()


def test_a_broken_index_is_thrown_away(recorded, tmp_path):
    index = Index(tmp_path)
    index.refresh()
    before = everything(index)
    index.close()
    (tmp_path / "index.sqlite").write_bytes(b"this is no database" * 1000)

    again = Index(tmp_path)
    again.refresh()

    assert everything(again) == before


def test_an_index_of_another_version_is_made_again(recorded, tmp_path):
    index = Index(tmp_path)
    index.refresh()
    before = everything(index)
    index.close()
    with sqlite3.connect(tmp_path / "index.sqlite") as base:
        base.execute("PRAGMA user_version = 77")
    base.close()

    again = Index(tmp_path)
    again.refresh()

    assert everything(again) == before


def test_segments_that_went_are_forgotten(recorded, tmp_path):
    index = Index(tmp_path)
    index.refresh()
    recorded.writer.close()
    (folder,) = process_folders(tmp_path)
    for path in segments(folder)[:-1]:
        path.unlink()
    index.refresh()
    left = index.find(Query())

    assert 0 < len(left) < 12
    assert left[-1].id == f"{11:032x}"
    assert all(place.path.exists() for entry in left for place in index.places(entry.id))


def test_two_indexes_of_one_workspace_agree(recorded, tmp_path):
    first, second = Index(tmp_path), Index(tmp_path)
    first.refresh()
    recorded.write_run("f" * 32)
    second.refresh()
    first.refresh()

    assert everything(first) == everything(second)


def test_a_run_of_a_dead_process_without_an_end_is_abandoned(tmp_path):
    recording = Recording(tmp_path)
    recording.run("a" * 32).model_says("hm")
    index = Index(tmp_path)
    index.refresh()
    assert [entry.status for entry in index.find(Query())] == ["running"]

    recording.writer.close()

    index.refresh()
    assert [entry.status for entry in index.find(Query(status="abandoned"))] == ["abandoned"]


def test_a_workspace_that_cannot_be_written_is_read_all_the_same(recorded, tmp_path, monkeypatch):
    def refuse(name, **given):
        if name != ":memory:":
            raise sqlite3.OperationalError("unable to open database file")
        return connect(name, **given)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", refuse)
    index = Index(tmp_path)
    index.refresh()

    assert len(index.find(Query())) == 12


def test_a_full_disk_leaves_the_workspace_readable(recorded, tmp_path):
    (tmp_path / "index.sqlite").unlink(missing_ok=True)
    code = """
        import resource, sys
        from pathlib import Path
        from burnish.workspace import Workspace

        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        print(len(list(Workspace(Path(sys.argv[1])).trajectories())))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert int(done.stdout) == len(list(Workspace(tmp_path).trajectories())) > 0
