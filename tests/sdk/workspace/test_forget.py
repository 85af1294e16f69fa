"""Guarantees of forgetting: no data of the person is left, and no data of others is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pyarrow as pa
import pytest
from pyarrow import parquet

from burnish.errors import WorkspaceError
from burnish.journal import events as e
from burnish.journal.lifecycle import erasure
from burnish.journal.reader import ReadReport, read_events
from burnish.journal.writer import JournalWriter, writer_for
from burnish.records import Outcome
from burnish.settings import Settings
from burnish.testing.recording import Recording
from burnish.workspace import Workspace


def stored(home):
    return b"".join(path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file())


def comparable(trajectories):
    return {trajectory.id: e.canonical(trajectory) for trajectory in trajectories}


@pytest.fixture
def recording(tmp_path):
    made = Recording(tmp_path, writer_for(tmp_path))
    made.write_run("a" * 32, thread_id="anna-1", user="anna", task="ANNAS wish")
    made.write_run("b" * 32, thread_id="bert-1", user="bert", task="berts wish")
    made.write_run("c" * 32, thread_id="anna-2", user="anna", task="ANNAS other wish")
    workspace = Workspace(tmp_path)
    evidence = {"letter": "ANNAS letter"}
    workspace.append_outcome(
        Outcome(source="crm", success=True, evidence=evidence), thread_id="anna-1"
    )
    workspace.append_outcome(Outcome(source="crm", success=False), thread_id="bert-1")
    workspace.record_state("a" * 32, {"row": "ANNAS row"})
    return made


def test_nothing_of_a_user_is_left_and_others_keep_all(recording, tmp_path):
    workspace = Workspace(tmp_path)
    before = comparable(workspace.trajectories())
    report = workspace.forget(user="anna")

    assert report.trajectories == ["a" * 32, "c" * 32]
    assert report.frames > 10
    assert report.pending == []
    assert b"ANNAS" not in stored(tmp_path)
    assert b"anna" not in stored(tmp_path)
    assert comparable(workspace.trajectories()) == {"b" * 32: before["b" * 32]}
    assert comparable(Workspace(tmp_path).trajectories()) == {"b" * 32: before["b" * 32]}


def test_a_thread_is_forgotten_alone_and_may_begin_anew(recording, tmp_path):
    workspace = Workspace(tmp_path)
    assert workspace.forget(thread_id="anna-1").trajectories == ["a" * 32]
    recording.write_run("d" * 32, thread_id="anna-1", user="anna")

    assert [t.id[0] for t in workspace.trajectories()] == ["b", "c", "d"]
    assert workspace.trajectory("d").outcomes == []
    assert workspace.trajectory("d").losses == {}


def test_blanked_frames_are_no_damage(recording, tmp_path):
    Workspace(tmp_path).forget(user="anna")
    report = ReadReport()
    kept = {event.trajectory for event, _ in read_events(tmp_path, report=report)}

    assert (report.corrupt, report.torn_tails, report.unknown_events) == (0, 0, 0)
    assert kept == {"b" * 32, None}


def test_an_index_made_again_does_not_bring_back_what_was_forgotten(recording, tmp_path):
    workspace = Workspace(tmp_path)
    workspace.forget(user="anna")
    workspace.rebuild_index()

    assert [t.id for t in workspace.trajectories()] == ["b" * 32]


def test_the_tombstone_names_nobody(recording, tmp_path):
    report = Workspace(tmp_path).forget(user="anna")
    (stone,) = erasure.tombstones(tmp_path)

    assert (stone.id, stone.kind, stone.digest) == (report.id, "user", erasure.digest_of("anna"))
    assert "anna" not in json.dumps(erasure.msgspec.to_builtins(stone))


def test_what_another_process_is_writing_is_hidden_at_once_and_goes_when_it_is_closed(tmp_path):
    code = f"""
        import sys
        from pathlib import Path
        from burnish.testing.recording import Recording
        recording = Recording(Path({str(tmp_path)!r}))
        recording.write_run("a" * 32, user="anna", task="ANNAS wish")
        print("written", flush=True)
        sys.stdin.read()
    """
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env,
    )  # fmt: skip
    assert process.stdout.readline() == b"written\n"
    workspace = Workspace(tmp_path)
    report = workspace.forget(user="anna")
    assert list(workspace.trajectories()) == []
    assert len(report.pending) == 1
    assert b"ANNAS" in stored(tmp_path)

    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()

    assert erasure.erase_pending(tmp_path) > 0
    assert b"ANNAS" not in stored(tmp_path)
    assert erasure.tombstones(tmp_path)[0].pending == []


def test_old_segments_are_cleaned_too(tmp_path):
    writer = JournalWriter(tmp_path, Settings(segment_bytes=3000))
    recording = Recording(tmp_path, writer)
    for number in range(10):
        recording.write_run(
            f"{number:032x}",
            user="anna" if number % 2 else "bert",
            task=f"ANNAS {number}" if number % 2 else "x",
        )
    writer.close()
    workspace = Workspace(tmp_path)
    workspace.forget(user="anna")

    assert b"ANNAS" not in stored(tmp_path)
    assert [t.losses for t in workspace.trajectories()] == [{}] * 5


def test_what_was_built_from_it_is_named(recording, tmp_path):
    rows = tmp_path / "datasets/d@1/rows"
    rows.mkdir(parents=True)
    parquet.write_table(pa.table({"trajectory_id": ["a" * 32, "b" * 32]}), rows / "train.parquet")
    other = tmp_path / "datasets/d@2/rows"
    other.mkdir(parents=True)
    parquet.write_table(pa.table({"trajectory_id": ["b" * 32]}), other / "train.parquet")
    for name, manifest in {
        "a@1": {"dataset": "d@1", "parents": []},
        "a@2": {"dataset": "d@2", "parents": ["a@1"]},
        "a@3": {"dataset": "d@2", "parents": []},
    }.items():
        (tmp_path / "adapters" / name).mkdir(parents=True)
        (tmp_path / "adapters" / name / "burnish.json").write_text(json.dumps(manifest))
    report = Workspace(tmp_path).forget(user="anna")

    assert report.datasets == ["d@1"]
    assert report.adapters == ["a@1", "a@2"]


@pytest.mark.parametrize("given", [{}, {"thread_id": "t", "user": "u"}])
def test_forgetting_names_one_thing(tmp_path, given):
    with pytest.raises(WorkspaceError, match="either a thread or a user"):
        Workspace(tmp_path).forget(**given)


def test_forgetting_somebody_unknown_removes_nothing(recording, tmp_path):
    report = Workspace(tmp_path).forget(user="nobody")

    assert (report.trajectories, report.frames) == ([], 0)
    assert len(list(Workspace(tmp_path).trajectories())) == 3


@pytest.mark.parametrize("place", ["ANNAS wish", "ANNAS row"])
def test_texts_in_damaged_frames_go_too_and_stay_counted(recording, tmp_path, place):
    workspace = Workspace(tmp_path)
    writer_for(tmp_path).rotate()
    before = comparable(workspace.trajectories())["b" * 32]
    path = next(path for path in tmp_path.rglob("*.seg") if place.encode() in path.read_bytes())
    content = bytearray(path.read_bytes())
    content[content.index(place.encode()) + len(place)] ^= 1
    path.write_bytes(content)
    assert Workspace(tmp_path).read_report().corrupt == 1

    Workspace(tmp_path).forget(user="anna")

    assert b"ANNAS" not in stored(tmp_path)
    assert b"anna-1" not in stored(tmp_path)
    assert Workspace(tmp_path).read_report().corrupt == 1
    assert comparable(Workspace(tmp_path).trajectories()) == {"b" * 32: before}


def archived(recording, home):
    """The workspace with its first segment in an archive and a copy of it in the cache."""
    writer_for(home).rotate()
    recording.write_run("d" * 32, thread_id="dora-1", user="dora", task="doras wish")
    workspace = Workspace(home)
    assert workspace.archive(f"file://{home}/archive").archived == 1
    assert len(list(workspace.trajectories())) == 4
    return workspace


def test_what_killed_processes_left_half_written_goes_too(recording, tmp_path):
    workspace = archived(recording, tmp_path)
    copy = next((tmp_path / "cache").rglob("*.seg"))
    table = next((tmp_path / "archive").rglob("*.parquet"))
    for path in (copy, table):
        path.with_name(f".{path.name}.{'0' * 32}.new").write_bytes(copy.read_bytes())
    stale = tmp_path / "cache/gone-1-1/000000.seg"
    stale.parent.mkdir()
    stale.write_bytes(copy.read_bytes())
    killed = tmp_path / "journal" / copy.parent.name / f".000000.seg.{'0' * 32}.new"
    killed.parent.mkdir(exist_ok=True)
    killed.write_bytes(copy.read_bytes())

    workspace.forget(user="anna")

    assert b"ANNAS" not in stored(tmp_path)
    assert not list(tmp_path.rglob("*.new"))
    assert [run.id[0] for run in Workspace(tmp_path).trajectories()] == ["b", "d"]


@pytest.mark.parametrize("place", ["cache", "cache/*", "cache/*/*.seg"])
@pytest.mark.parametrize("other", ["file", "folder", "loop"])
def test_something_else_in_the_place_of_a_copy_keeps_nothing(recording, tmp_path, place, other):
    archived(recording, tmp_path)
    found = next(tmp_path.glob(place))
    shutil.rmtree(found) if found.is_dir() else found.unlink()
    if other == "file":
        found.write_text("x")
    elif other == "folder":
        found.mkdir()
    else:
        found.symlink_to(found.name)

    Workspace(tmp_path).forget(user="anna")

    shutil.rmtree(tmp_path / "cache") if (tmp_path / "cache").is_dir() else (
        tmp_path / "cache"
    ).unlink()
    assert [run.id[0] for run in Workspace(tmp_path).trajectories()] == ["b", "d"]
    assert b"ANNAS" not in stored(tmp_path)
