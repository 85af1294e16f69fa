"""Any change to one file of a workspace leaves all other runs readable, and the damage is counted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.journal import cursor as cursors
from burnish.journal import events as e
from burnish.journal.writer import JournalWriter
from burnish.settings import Settings
from burnish.testing.recording import Recording
from burnish.workspace import Workspace

# Files that hold no run and no fact: what they say is made again, or harms nothing.
WITHOUT_A_COUNT = ("index.sqlite", "cache/", "alive", "keeper.lock", ".cursor", ".lock", ".copy")


def snapshot(home):
    return {run.id: e.canonical(run) for run in Workspace(home).trajectories()}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A workspace with a file of every kind, and the place of each run."""
    base = tmp_path_factory.mktemp("damage")
    home = base / "work" / "home"
    first = JournalWriter(home, Settings(segment_bytes=3000))
    for number in range(6):
        Recording(home, first).write_run(
            f"{number:032x}", thread_id=f"t{number}", task=f"wish {number}"
        )
    first.close()
    Workspace(home).archive(f"file://{base}/work/archive")
    second = JournalWriter(home, Settings(segment_bytes=3000))
    for number in range(6, 12):
        Recording(home, second).write_run(
            f"{number:032x}", thread_id=f"t{number}", task=f"wish {number}"
        )
    second.close()
    Workspace(home).forget(thread_id="t2")
    Workspace(home).forget(thread_id="t8")
    cursors.Claim(cursors.path_of(home, "otlp", "one")).save()
    whole = snapshot(home)
    places = {}
    workspace = Workspace(home)
    for entry in workspace.entries():
        for place in workspace._store.index.places(entry.id):
            places.setdefault(f"{place.path.parent.name}/{place.path.stem}", set()).add(entry.id)
    workspace._store.index.close()
    (base / "work").rename(base / "template")
    files = sorted(
        str(path.relative_to(base / "template"))
        for path in (base / "template").rglob("*")
        if path.is_file()
    )
    return SimpleNamespace(base=base, whole=whole, places=places, files=files)


def restored(template) -> Path:
    work = template.base / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(template.base / "template", work)
    return work


def check(template, work: Path, name: str, *, counted: bool = True) -> None:
    if name.endswith(".parquet"):  # else the local copy is read
        shutil.rmtree(work / "home/cache", ignore_errors=True)
        (work / "home/index.sqlite").unlink()
    workspace = Workspace(work / "home")
    found = {run.id: run for run in workspace.trajectories()}
    report = workspace.read_report()

    path = Path(name)
    may_suffer = template.places.get(f"{path.parent.name}/{path.stem}", set())
    hurt = {
        key
        for key, told in template.whole.items()
        if key not in found or e.canonical(found[key]) != told
    }
    assert hurt <= may_suffer, (name, hurt)
    assert found.keys() <= template.whole.keys(), "a run that was never recorded, or was forgotten"
    for key in hurt & found.keys():
        assert found[key].losses, "a run says something else without a loss"
    damage = [
        *(report.torn_tails, report.corrupt, report.unknown_events, report.unreadable),
        *(report.stray, report.damaged_files, report.lost_events, report.wrong_contents),
        report.unreadable_runs,
    ]
    if counted or hurt - found.keys():
        assert any(damage), (name, "nothing was counted")


def is_counted(name: str) -> bool:
    return not any(part in name for part in WITHOUT_A_COUNT)


def test_a_file_of_every_kind_is_there(template):
    kinds = ("workspace.json", "index.sqlite", "archive.json", "tombstones/", ".parquet", ".seg")
    kinds += ("cache/", "alive", ".cursor", "keeper.lock", ".copy")
    assert all(any(kind in name for name in template.files) for kind in kinds)
    assert len(template.whole) == 10


@pytest.mark.parametrize("how", ["empty", "noise", "zeros"])
def test_any_file_may_be_lost_whole(template, how):
    for name in template.files:
        work = restored(template)
        size = (work / name).stat().st_size
        content = {"empty": b"", "noise": os.urandom(size), "zeros": bytes(size)}[how]
        (work / name).write_bytes(content)
        check(template, work, name, counted=is_counted(name) and size > 0)


@pytest.mark.parametrize(
    "kind", [".seg", ".parquet", "index.sqlite", "archive.json", "tombstones/"]
)
def test_a_pipe_in_the_place_of_a_file_blocks_no_reader(template, kind):
    name = next(name for name in template.files if kind in name)
    work = restored(template)
    (work / name).unlink()
    if kind == ".parquet":
        shutil.rmtree(work / "home/cache")
        (work / name).mkdir()
    else:
        os.mkfifo(work / name)
    check(template, work, name, counted=is_counted(name))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_byte_or_stretch_of_a_file_may_be_damaged(template, data):
    name = data.draw(st.sampled_from(template.files))
    # Not from the copy: the index of the example before may still close its log there.
    content = bytearray((template.base / "template" / name).read_bytes())
    if not content:
        return
    at = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.integers(1, 40))
    how = data.draw(st.sampled_from(["flip", "cut", "insert", "zeros", "swap", "end"]))
    before = bytes(content)
    if how == "flip":
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    elif how == "cut":
        del content[at : at + length]
    elif how == "insert":
        content[at:at] = data.draw(st.binary(min_size=length, max_size=length))
    elif how == "zeros":
        content[at : at + length] = bytes(len(content[at : at + length]))
    elif how == "swap":
        content[at : at + 2 * length] = (
            content[at + length : at + 2 * length] + content[at : at + length]
        )
    else:
        del content[at:]
    work = restored(template)
    (work / name).write_bytes(content)
    check(template, work, name, counted=is_counted(name) and bytes(content) != before)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_frame_with_the_right_check_sum_may_say_anything(template, data):
    """A frame of another writer or a later version is counted if it is not an event, and skipped."""
    from burnish.journal import frames

    work = restored(template)
    name = data.draw(
        st.sampled_from(
            [name for name in template.files if name.endswith(".seg") and "cache" not in name]
        )
    )
    content = (work / name).read_bytes()
    seeds = frames.find_seeds(content)
    kind = data.draw(st.sampled_from(sorted(frames.KINDS | {1, 77, 255})))
    payload = data.draw(
        st.binary(max_size=60)
        | st.dictionaries(
            st.sampled_from(["k", "at", "trajectory", "span", "agent"]),
            st.none() | st.text(max_size=3) | st.integers(-(2**63), 2**64 - 1),
        ).map(e.msgspec.msgpack.encode)
        | st.binary(min_size=16, max_size=16).map(lambda ref: ref + ref + bytes(4) + b"x")
    )
    (work / name).write_bytes(content + frames.frame(kind, payload, seeds))
    (work / "home/index.sqlite").unlink()
    workspace = Workspace(work / "home")
    found = {run.id: e.canonical(run) for run in workspace.trajectories()}
    assert found.items() >= template.whole.items()
