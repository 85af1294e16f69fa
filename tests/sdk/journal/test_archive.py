"""An archive returns the archived data, and readers need not know where a segment is."""

from __future__ import annotations

import pytest
from pyarrow import parquet

from burnish.errors import JournalError
from burnish.journal import cursor as cursors
from burnish.journal import events as e
from burnish.journal.cursor import Claim
from burnish.journal.lifecycle.archiving import archive, read_list
from burnish.journal.reader import process_folders, segments
from burnish.journal.writer import JournalWriter
from burnish.settings import Settings
from burnish.testing.recording import Recording
from burnish.workspace import Workspace


def journal_segments(home):
    return [path for folder in process_folders(home) for path in segments(folder)]


def comparable(trajectories):
    return {trajectory.id: e.canonical(trajectory) for trajectory in trajectories}


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    writer = JournalWriter(home, Settings(segment_bytes=4000))
    recording = Recording(home, writer)
    for number in range(10):
        user = "anna" if number % 2 else "bert"
        recording.write_run(f"{number + 1:032x}", user=user, task=f"{user}s \ud800 wish {number}")
    writer.close()
    return home


def test_trajectories_are_read_from_the_archive_as_from_the_journal(home, tmp_path):
    workspace = Workspace(home)
    before = comparable(workspace.trajectories())
    sizes = sum(path.stat().st_size for path in journal_segments(home))
    report = workspace.archive(f"file://{tmp_path}/archive")

    assert journal_segments(home) == []
    assert report.archived == len(read_list(home)) > 3
    assert (report.bytes_before, report.damaged, report.claimed) == (sizes, 0, 0)
    assert comparable(workspace.trajectories()) == before
    assert comparable(Workspace(home).trajectories()) == before


def test_an_index_is_made_again_out_of_the_archive(home, tmp_path):
    workspace = Workspace(home)
    before = comparable(workspace.trajectories())
    workspace.archive(f"file://{tmp_path}/archive")
    workspace.rebuild_index()

    assert comparable(workspace.trajectories()) == before


def test_journal_and_archive_are_read_together(home, tmp_path):
    workspace = Workspace(home)
    workspace.archive(f"file://{tmp_path}/archive")
    Recording(home).write_run("f" * 32)

    assert len(list(workspace.trajectories())) == 11


def test_any_file_system_will_do(home):
    report = archive(home, "memory://burnish/archive", Settings())

    assert report.archived > 3
    assert len(list(Workspace(home).trajectories())) == 10


def test_the_tables_are_of_use_to_others(home, tmp_path):
    Workspace(home).archive(f"file://{tmp_path}/archive")
    tables = [
        parquet.read_table(path) for path in sorted((tmp_path / "archive").rglob("*.parquet"))
    ]
    rows = [row for table in tables for row in table.to_pylist()]

    assert {row["trajectory"] for row in rows if row["event"] == "R"} == {
        f"{n + 1:032x}" for n in range(10)
    }
    assert all(row["at"] > 0 for row in rows if row["event"])


def test_what_is_not_shipped_yet_stays_in_the_journal(home, tmp_path):
    (folder,) = process_folders(home)
    claim = Claim(cursors.path_of(home, "otlp", folder.name))
    claim.cursor.floor = claim.cursor.segment = 2
    claim.save()
    claim.release()
    paths = journal_segments(home)
    report = Workspace(home).archive(f"file://{tmp_path}/archive")

    assert journal_segments(home) == paths[2:]
    assert (report.archived, report.claimed) == (2, len(paths) - 2)


def test_a_damaged_segment_stays_where_it_is(home, tmp_path):
    paths = journal_segments(home)
    data = bytearray(paths[1].read_bytes())
    data[300] ^= 1
    paths[1].write_bytes(data)
    report = Workspace(home).archive(f"file://{tmp_path}/archive")

    assert journal_segments(home) == [paths[1]]
    assert report.damaged == 1


def test_a_segment_that_is_written_stays(tmp_path):
    recording = Recording(tmp_path / "home")
    recording.write_run("a" * 32)

    assert Workspace(tmp_path / "home").archive(f"file://{tmp_path}/archive").archived == 0


def test_forgetting_reaches_the_archive(home, tmp_path):
    workspace = Workspace(home)
    workspace.archive(f"file://{tmp_path}/archive")
    report = workspace.forget(user="anna")
    stored = [
        parquet.read_table(path).column("payload").to_pylist()
        for path in (tmp_path / "archive").rglob("*.parquet")
    ]
    payloads = b"".join(payload for column in stored for payload in column)
    cached = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())

    assert report.frames > 20
    assert b"annas" not in payloads
    assert b"berts" in payloads
    assert b"anna" not in cached
    assert [t.user for t in workspace.trajectories()] == ["bert"] * 5
    assert all(t.losses == {} for t in workspace.trajectories())


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_lost(home, tmp_path):
    (tmp_path / "archive").write_text("a file, not a folder")
    paths = journal_segments(home)

    with pytest.raises(JournalError, match="cannot be reached"):
        Workspace(home).archive(f"file://{tmp_path}/archive")

    assert journal_segments(home) == paths
    assert read_list(home) == {}
