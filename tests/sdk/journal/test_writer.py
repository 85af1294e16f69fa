"""Guarantees of the writer: acknowledged events are kept, and a full disk harms nothing else."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from small_events import dropped, numbers, state

from burnish.errors import WorkspaceTooNew
from burnish.journal import events as e
from burnish.journal import frames
from burnish.journal.reader import (
    SegmentReader,
    is_alive,
    process_folders,
    read_events,
    segments,
)
from burnish.journal.writer import JournalWriter
from burnish.settings import Settings
from burnish.testing.recording import Recording


def journal_segments(home: Path) -> list[Path]:
    return [path for folder in process_folders(home) for path in segments(folder)]


def test_nothing_is_created_before_the_first_event(tmp_path):
    home = tmp_path / "home"
    JournalWriter(home).close()

    assert not home.exists()


def test_events_come_back_in_their_order_with_their_content(tmp_path):
    writer = JournalWriter(tmp_path)
    content = e.canonical({"role": "user", "parts": [{"type": "text", "content": "hé \ud800"}]})
    ref = e.ref_of(content)
    writer.append(e.StateRecorded(at=1, trajectory="t", state=ref), {ref: content})
    writer.append(dropped(2))

    (state, blobs), (second, _) = read_events(tmp_path)

    assert blobs[state.state] == content
    assert blobs.value(ref)["parts"][0]["content"] == "hé \ud800"
    assert second == dropped(2)


def test_content_is_stored_once_in_a_segment(tmp_path):
    writer = JournalWriter(tmp_path)
    content = e.canonical("x" * 10_000)
    ref = e.ref_of(content)
    for number in range(50):
        writer.append(e.StateRecorded(at=number, trajectory="t", state=ref), {ref: content})
    writer.close()

    (segment,) = journal_segments(tmp_path)

    assert segment.stat().st_size < 20_000


def test_a_full_segment_is_sealed_and_each_segment_stands_alone(tmp_path):
    writer = JournalWriter(tmp_path, Settings(segment_bytes=4000))
    content = e.canonical("x" * 1000)
    ref = e.ref_of(content)
    for number in range(200):
        writer.append(e.StateRecorded(at=number, trajectory="t", state=ref), {ref: content})
    writer.close()
    paths = journal_segments(tmp_path)
    paths[0].unlink()

    read = [(event, blobs[event.state]) for event, blobs in read_events(tmp_path)]

    assert len(paths) > 3
    assert all(blob == content for _, blob in read)
    for path in paths[1:]:
        kinds = [kind for kind, _, _ in frames.split(path.read_bytes())]
        assert (kinds[0], kinds[-1]) == (frames.HEADER, frames.SEAL)


def test_threads_lose_nothing_and_mix_nothing(tmp_path):
    writer = JournalWriter(tmp_path, Settings(segment_bytes=20_000))

    def write(first: int) -> None:
        for number in range(first, first + 300):
            content = e.canonical([number] * 20)
            ref = e.ref_of(content)
            event = e.StateRecorded(at=number, trajectory=str(number), state=ref)
            writer.append(event, {ref: content})

    threads = [threading.Thread(target=write, args=(first * 1000,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = {event.trajectory: blobs.value(event.state) for event, blobs in read_events(tmp_path)}

    assert found == {
        str(n): [n] * 20 for first in range(4) for n in range(first * 1000, first * 1000 + 300)
    }


def test_a_forked_child_writes_a_journal_of_its_own(tmp_path):
    writer = JournalWriter(tmp_path)
    writer.append(dropped(1))
    child = os.fork()
    if child == 0:
        writer.append(dropped(2))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.append(dropped(3))

    assert len(process_folders(tmp_path)) == 2
    assert numbers(tmp_path) == [1, 2, 3]
    assert [is_alive(folder) for folder in process_folders(tmp_path)].count(True) == 1


def test_a_folder_is_seen_only_once_its_process_is_known_to_be_alive(tmp_path, monkeypatch):
    seen_before = []
    lock = fcntl.flock

    def watched(*args):
        seen_before.append(process_folders(tmp_path))
        return lock(*args)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", watched)
        writer = JournalWriter(tmp_path)
        writer.append(dropped(1))

    assert seen_before == [[]]
    assert process_folders(tmp_path) == [writer.folder]
    assert is_alive(writer.folder)


def test_a_closed_journal_has_ended_and_an_append_begins_another(tmp_path):
    writer = JournalWriter(tmp_path)
    writer.append(dropped(1))
    first = writer.folder
    writer.close()
    writer.append(dropped(2))

    assert is_alive(writer.folder)
    assert not is_alive(first)
    assert numbers(tmp_path) == [1, 2]


@pytest.mark.parametrize("mode", ["always", "interval", "never"])
def test_every_way_of_syncing_keeps_all_events(tmp_path, mode):
    writer = JournalWriter(tmp_path, Settings(fsync=mode, fsync_interval_s=0.001))
    for number in range(20):
        writer.append(dropped(number))
    writer.flush()
    writer.close()

    assert numbers(tmp_path) == list(range(20))


@pytest.mark.skipif(sys.platform != "linux", reason="watches fdatasync and /proc")
def test_another_way_of_syncing_holds_from_the_next_event_on(tmp_path, monkeypatch):
    synced = []
    real = os.fdatasync

    def watched(fd):
        if tmp_path in Path(f"/proc/self/fd/{fd}").readlink().parents:
            synced.append(fd)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", watched)
    writer = JournalWriter(tmp_path, Settings(fsync="interval", fsync_interval_s=600))
    writer.append(dropped(1))
    assert synced == []
    writer.settings = Settings(fsync="always")
    writer.append(dropped(2))
    assert len(synced) == 1
    writer.append(dropped(3))
    assert len(synced) == 2
    writer.close()


def test_an_event_an_hour_later_begins_another_segment(tmp_path):
    writer = JournalWriter(tmp_path)
    writer.append(dropped(1))
    writer.append(dropped(2))
    later = e.Dropped(at=time.time_ns() + 3601 * 10**9, counts={"n": 3})
    writer.append(later)

    assert len(journal_segments(tmp_path)) == 2


def test_a_workspace_of_a_newer_version_takes_no_event(tmp_path):
    (tmp_path / "workspace.json").write_text('{"format": 99, "burnish": "9.0"}')

    with pytest.raises(WorkspaceTooNew, match=r"format 99.*burnish 9\.0.*pip install"):
        JournalWriter(tmp_path).append(dropped(1))

    assert [path.name for path in tmp_path.iterdir()] == ["workspace.json"]


def test_two_processes_write_into_one_workspace(tmp_path):
    code = """
        import sys
        from pathlib import Path
        from burnish.testing.recording import Recording
        recording = Recording(Path(sys.argv[1]))
        for number in range(20):
            recording.write_run(f"{sys.argv[2]}{number:031x}")
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(tmp_path), name],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for name in "ab"
    ]
    assert [process.wait() for process in processes] == [0, 0]

    ended = [
        event.trajectory for event, _ in read_events(tmp_path) if isinstance(event, e.RunEnded)
    ]

    assert len(process_folders(tmp_path)) == 2
    assert sorted(ended) == [f"{name}{number:031x}" for name in "ab" for number in range(20)]


def test_a_large_message_is_one_whole_frame(tmp_path):
    recording = Recording(tmp_path)
    run = recording.run("a" * 32, task="x" * 5_000_000)
    run.model_says("done")
    run.end()

    sizes = [
        len(blobs[event.messages[1]])
        for event, blobs in read_events(tmp_path)
        if isinstance(event, e.ModelStarted)
    ]

    assert sizes == [
        5_000_000 + len(e.canonical({"role": "user", "parts": [{"type": "text", "content": ""}]}))
    ]


def test_events_that_belong_together_stand_in_one_segment_with_their_content(tmp_path):
    writer = JournalWriter(tmp_path, Settings(segment_bytes=300))
    for number in range(20):
        event, blobs = state(number, f"{number}" * 100)
        writer.append_all([event, dropped(number)], blobs)
    writer.close()

    for path in journal_segments(tmp_path):
        reader = SegmentReader(path)
        events = [event for _, event in reader.poll(final=True)]
        assert [type(event) for event in events] == [e.StateRecorded, e.Dropped] * (
            len(events) // 2
        )
        assert all(reader.own(event.state) for event in events[::2])


class Interrupting(dict):
    """Contents whose reading appends an event, as the end of a collected run may do."""

    def __init__(self, contents, action):
        super().__init__(contents)
        self.action = action

    def keys(self):
        self.action()
        return super().keys()


@pytest.mark.parametrize("mode", ["never", "always"])
def test_an_append_within_an_append_of_its_thread_waits_for_it_and_is_kept(tmp_path, mode):
    writer = JournalWriter(tmp_path, Settings(fsync=mode))
    blobs = Interrupting({b"a" * 16: b"x"}, lambda: writer.append(dropped(2)))

    thread = threading.Thread(target=writer.append, args=(dropped(1), blobs), daemon=True)
    thread.start()
    thread.join(20)
    writer.append(dropped(3))
    writer.close()

    assert not thread.is_alive()
    assert numbers(tmp_path) == [1, 2, 3]
