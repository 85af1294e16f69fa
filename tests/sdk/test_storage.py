"""Files are complete or absent, private, and locked by one process at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.files.storage import (
    FileLock,
    atomic_write,
    make_private,
    make_private_folder,
    sync_tree,
    try_lock,
    write_once,
)

PACKAGES = [
    Path(__file__).parents[2] / name
    for name in ("sdk/burnish", "exporters/burnish_exporters", "trainer/burnish_trainer")
]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_failed_write_leaves_the_old_content_and_no_draft(tmp_path):
    path = tmp_path / "small"
    atomic_write(path, b"old")

    def broken():
        yield b"ne"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        atomic_write(path, broken())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_made_is_private_whatever_the_umask(tmp_path):
    folder = make_private_folder(tmp_path / "a" / "b")
    atomic_write(folder / "one", b"1")
    write_once(folder / "two", b"2")
    with try_lock(folder / "three") as held:
        assert held
    assert {mode(tmp_path / "a"), mode(folder)} == {0o700}
    assert {mode(path) for path in folder.iterdir()} == {0o600}


def test_a_tree_becomes_private_and_an_open_path_is_mended(tmp_path):
    (tmp_path / "rows").mkdir(mode=0o755)
    (tmp_path / "rows" / "train").write_bytes(b"x")
    sync_tree(tmp_path / "rows")
    assert (mode(tmp_path / "rows"), mode(tmp_path / "rows" / "train")) == (0o700, 0o600)
    (tmp_path / "rows").chmod(0o755)
    assert make_private(tmp_path / "rows")
    assert not make_private(tmp_path / "rows")


def test_the_first_of_two_writers_wins(tmp_path):
    assert write_once(tmp_path / "key", b"first")
    assert not write_once(tmp_path / "key", b"second")
    assert (tmp_path / "key").read_bytes() == b"first"


def test_a_lock_is_held_by_one_process_and_released_when_it_is_killed(tmp_path):
    code = (
        "import pathlib, sys, time\n"
        "from burnish.files.storage import FileLock\n"
        "lock = FileLock(pathlib.Path(sys.argv[1]))\n"
        "print(lock.acquire(), flush=True)\n"
        "time.sleep(60)\n"
    )
    path = tmp_path / "lock"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == "True\n"
        ours = FileLock(path)
        assert not ours.acquire(wait_s=0.05)
    finally:
        other.kill()
        other.communicate()
    assert ours.acquire(wait_s=5)
    ours.release()
    assert not ours.held


def test_files_are_written_synced_and_locked_by_one_module():
    """Atomic writes, fsync and flock by hand are found here and in platform; sandboxes run without burnish."""
    own = {"storage.py", "platform.py", "box_init.py"}
    by_hand = ("fcntl.flock", "os.fsync(", "os.fdatasync(", "os.link(", "os.replace(")
    found = [
        f"{path.name}: {word}"
        for package in PACKAGES
        for path in package.rglob("*.py")
        if path.name not in own
        for word in by_hand
        if word in path.read_text("utf-8")
    ]
    assert found == ["erasure.py: os.fsync("]
