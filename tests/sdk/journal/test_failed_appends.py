"""A failed append leaves nothing of its event, and all of every other event."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from small_events import dropped, numbers, state

from burnish.errors import JournalFull
from burnish.journal import events as e
from burnish.journal import segment
from burnish.journal.reader import ReadReport, is_alive, process_folders, read_events
from burnish.journal.writer import JournalWriter


def fill(writer: JournalWriter, events: list, written: list[str]) -> None:
    for event, blobs in events:
        writer.append(event, blobs)
        written.append(event.trajectory)


def test_an_append_that_a_person_interrupts_leaves_nothing_half(tmp_path, monkeypatch):
    writer = JournalWriter(tmp_path)
    writer.append(dropped(1))
    real = segment.write_small

    def interrupted(fd, data, size):
        real(fd, data, size // 2)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(segment, "write_small", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.append(*state(2, "said once"))
    writer.append(*state(3, "said once"))
    report = ReadReport()
    read = list(read_events(tmp_path, report=report))

    assert [type(event) for event, _ in read] == [e.Dropped, e.StateRecorded]
    event, blobs = read[1]
    assert blobs[event.state] == e.canonical("said once")
    assert (report.corrupt, report.torn_tails) == (0, 0)


FULL_DISK = """
    import resource, sys
    from pathlib import Path
    from burnish.errors import JournalFull
    from burnish.journal import events as e
    from burnish.journal.writer import JournalWriter

    def event(number, size):
        content = e.canonical("x" * size + str(number))
        ref = e.ref_of(content)
        return e.StateRecorded(at=number, trajectory=str(number), state=ref), {ref: content}

    writer = JournalWriter(Path(sys.argv[1]))
    writer.append(*event(1, 100))
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    try:
        writer.append(*event(2, 50_000))
    except JournalFull as full:
        assert isinstance(full, OSError)
        print(full)
    writer.append(*event(3, 100))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    writer.append(*event(2, 50_000))
"""


def test_a_full_disk_refuses_one_event_and_harms_no_other(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    report = ReadReport()

    read = [
        event.trajectory
        for event, blobs in read_events(tmp_path, report=report)
        if blobs[event.state]
    ]

    assert read == ["1", "3", "2"]
    assert (report.corrupt, report.torn_tails) == (0, 0)
    assert "no room for the journal" in done.stdout


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounting a small disk needs root on Linux"
)
def test_a_disk_without_space_is_named_and_can_be_used_again(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    try:
        writer = JournalWriter(disk / "home")
        written = []
        events = [state(number, f"{number}" * 2000) for number in range(1000)]
        with pytest.raises(JournalFull, match="No space left"):
            fill(writer, events, written)
        report = ReadReport()
        read = [event.trajectory for event, _ in read_events(disk / "home", report=report)]
        writer.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)

    assert len(written) > 10
    assert read == written
    assert report.corrupt == 0


KILLED = """
    import sys, threading
    from pathlib import Path
    from burnish.journal import events as e
    from burnish.journal.writer import JournalWriter
    from burnish.settings import Settings

    writer = JournalWriter(Path(sys.argv[1]), Settings(segment_bytes=50_000))
    lock = threading.Lock()

    def write(first):
        for number in range(first, first + 1_000_000):
            content = e.canonical("x" * (number % 3000))
            ref = e.ref_of(content)
            writer.append(e.Dropped(at=number, counts={"n": number}), {ref: content})
            with lock:
                sys.stdout.write(f"{number}\\n")
                sys.stdout.flush()

    for first in range(4):
        threading.Thread(target=write, args=(first * 1_000_000,)).start()
"""


@pytest.mark.parametrize("lines", [1, 50, 400, 1500])
def test_kill_9_loses_no_acknowledged_event(tmp_path, lines):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    acknowledged = [int(process.stdout.readline()) for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    acknowledged += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    process.wait()
    process.stdout.close()

    found = set(numbers(tmp_path))

    assert set(acknowledged) <= found
    assert not any(is_alive(folder) for folder in process_folders(tmp_path))
