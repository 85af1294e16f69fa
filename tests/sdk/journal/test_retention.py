"""Rules of retention: which segments may be deleted, and which may not."""

from __future__ import annotations

import os
import time

import pytest

from burnish.errors import JournalFull
from burnish.journal import cursor as cursors
from burnish.journal import events as e
from burnish.journal.cursor import Claim
from burnish.journal.lifecycle.retention import keep
from burnish.journal.reader import process_folders, read_events, segments
from burnish.journal.writer import JournalWriter
from burnish.settings import Settings
from burnish.testing.recording import Recording
from burnish.workspace import Workspace

DAY_S = 86_400


def journal_segments(home):
    return [path for folder in process_folders(home) for path in segments(folder)]


def record(home, count=12, segment_bytes=4000, *, close=True):
    writer = JournalWriter(home, Settings(segment_bytes=segment_bytes))
    recording = Recording(home, writer)
    for number in range(count):
        recording.write_run(f"{number + 1:032x}", task="x" * 1000)
    if close:
        writer.close()
    paths = journal_segments(home)
    for days, path in enumerate(reversed(paths)):
        stamp = time.time() - days * DAY_S
        os.utime(path, (stamp, stamp))
    return writer, paths


def claim(home, exporter, floor=0, finished=False, moved_days_ago=0.0):
    (folder,) = process_folders(home)
    made = Claim(cursors.path_of(home, exporter, folder.name))
    made.cursor.floor, made.cursor.segment, made.cursor.finished = floor, floor, finished
    made.save()
    made.cursor.moved_ns -= int(moved_days_ago * DAY_S * 1e9)
    cursors.atomic_write(made.path, cursors.msgspec.json.encode(made.cursor))
    made.release()


def test_segments_go_by_age(tmp_path):
    _, paths = record(tmp_path)
    report = keep(tmp_path, Settings(keep_days=2.5))

    assert report.removed == len(paths) - 3
    assert journal_segments(tmp_path) == paths[-3:]


def test_the_oldest_go_until_the_rest_fits(tmp_path):
    _, paths = record(tmp_path)
    sizes = [path.stat().st_size for path in paths]
    report = keep(tmp_path, Settings(keep_bytes=sum(sizes[-2:])))

    assert journal_segments(tmp_path) == paths[-2:]
    assert (report.kept_bytes, report.over_quota) == (sum(sizes[-2:]), False)
    assert report.removed_bytes == sum(sizes[:-2])


def test_the_segment_that_is_written_stays(tmp_path):
    writer, paths = record(tmp_path, close=False)
    keep(tmp_path, Settings(keep_bytes=0, keep_days=0))

    assert journal_segments(tmp_path) == paths[-1:]
    assert writer.folder.exists()


def test_what_an_exporter_has_not_shipped_stays(tmp_path):
    _, paths = record(tmp_path)
    claim(tmp_path, "otlp", floor=4)
    claim(tmp_path, "other", floor=6)
    report = keep(tmp_path, Settings(keep_bytes=0))

    assert journal_segments(tmp_path) == paths[4:]
    assert report.claimed == len(paths) - 4
    assert report.over_quota


def test_an_exporter_that_never_saw_a_journal_still_claims_it(tmp_path):
    _, paths = record(tmp_path)
    other = Claim(cursors.path_of(tmp_path, "otlp", "another-1-2"))
    other.save()
    other.release()

    keep(tmp_path, Settings(keep_bytes=0))

    assert journal_segments(tmp_path) == paths


def test_an_exporter_that_has_not_moved_for_long_loses_its_claim(tmp_path):
    record(tmp_path)
    claim(tmp_path, "otlp", floor=0, moved_days_ago=8)
    report = keep(tmp_path, Settings(keep_bytes=0))

    assert report.lost_claims == ["otlp"]
    assert journal_segments(tmp_path) == []


def test_a_finished_exporter_holds_nothing_and_its_folder_goes(tmp_path):
    record(tmp_path)
    claim(tmp_path, "otlp", finished=True)
    keep(tmp_path, Settings(keep_days=0))

    assert process_folders(tmp_path) == []
    assert list(cursors.folder_of(tmp_path).iterdir()) == []


def test_the_index_forgets_what_went_and_keeps_the_rest(tmp_path):
    record(tmp_path)
    workspace = Workspace(tmp_path)
    before = {t.id: t for t in workspace.trajectories()}
    keep(tmp_path, Settings(keep_days=2.5))

    left = {t.id: t for t in workspace.trajectories()}

    assert 0 < len(left) < len(before)
    assert all(t == before[key] for key, t in left.items() if not t.losses)
    assert sum(bool(t.losses) for t in left.values()) <= 1


def test_a_writer_keeps_its_own_journal_within_the_quota(tmp_path):
    settings = Settings(segment_bytes=4000, keep_bytes=20_000, fsync_interval_s=0.001)
    writer = JournalWriter(tmp_path, settings)
    recording = Recording(tmp_path, writer)
    deadline = time.monotonic() + 20
    number = 0
    while time.monotonic() < deadline:
        number += 1
        recording.write_run(f"{number:032x}", task="x" * 1000)
        paths = journal_segments(tmp_path)
        if number > 40 and paths and int(paths[0].stem) > 5:
            break
    writer.close()
    keep(tmp_path, settings)

    assert int(journal_segments(tmp_path)[0].stem) > 5
    assert sum(path.stat().st_size for path in journal_segments(tmp_path)) <= 20_000


def test_a_journal_full_of_unshipped_spans_takes_no_more_until_they_are_shipped(tmp_path):
    writer = full_of_unshipped(tmp_path)
    kept = [
        event.trajectory for event, _ in read_events(tmp_path) if isinstance(event, e.RunStarted)
    ]

    claim(tmp_path, "otlp", floor=10_000)
    wait_for_room(writer)

    assert kept[0] == "a" * 32


def test_a_forked_child_of_a_full_journal_begins_a_segment_and_goes_on_in_it(tmp_path):
    writer = full_of_unshipped(tmp_path)
    # The child does not look at the quota while it writes; setting it would look at the limit.
    writer._settings = Settings(segment_bytes=4000, fsync_interval_s=60)
    before = set(journal_segments(tmp_path))
    child = os.fork()
    if child == 0:
        try:
            for number in range(3):
                writer.append(e.Dropped(at=time.time_ns(), counts={"n": number}))
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

    assert len(set(journal_segments(tmp_path)) - before) == 1


def full_of_unshipped(home):
    """A journal that accepts no more until its content is shipped."""
    writer = JournalWriter(
        home, Settings(segment_bytes=4000, keep_bytes=20_000, fsync_interval_s=0.001)
    )
    recording = Recording(home, writer)
    recording.write_run("a" * 32)
    claim(home, "otlp", floor=0)
    with pytest.raises(JournalFull, match="keep_bytes"):
        fill(recording)
    return writer


def fill(recording):
    deadline = time.monotonic() + 20
    number = 0
    while time.monotonic() < deadline:
        number += 1
        recording.write_run(f"{number:032x}", task="x" * 1000)


def wait_for_room(writer):
    deadline = time.monotonic() + 20
    while True:
        try:
            return writer.append(e.Dropped(at=time.time_ns(), counts={}))
        except JournalFull:
            if time.monotonic() > deadline:
                raise


@pytest.mark.parametrize("days", [3650, -3650])
def test_a_clock_that_was_set_meanwhile_lets_nothing_go(tmp_path, monkeypatch, days):
    _, paths = record(tmp_path)
    claim(tmp_path, "otlp")
    right = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: right() + days * DAY_S * 10**9)
    report = keep(tmp_path, Settings(keep_days=1))
    monkeypatch.undo()

    assert (report.removed, report.lost_claims) == (0, [])
    assert journal_segments(tmp_path) == paths
    assert keep(tmp_path, Settings(keep_days=1, keep_unshipped_days=0)).removed > 0
