"""Runs with a damaged beginning are forgotten by the name that the damaged bytes still hold, or are named."""

from __future__ import annotations

import pytest

import burnish
from burnish.journal import events as e
from burnish.journal import frames
from burnish.journal.writer import close_shared
from burnish.workspace import Workspace

SECRET = b"the order of anna"


@pytest.fixture
def home(tmp_path):
    """A workspace of two runs, one of which has the thread t-anna and the user anna-lena."""
    burnish.configure(home=tmp_path)
    for thread, user, text in (("t-anna", "anna-lena", SECRET.decode()), ("t-bob", "bob", "other")):
        with burnish.task(user=user), burnish.trace(agent="a", thread_id=thread, input=text) as run:
            with burnish.trace.tool_call("look", {"q": text}):
                pass
            run.answer(f"{text} is here")
    burnish.flush()
    close_shared()
    return tmp_path


def damage_start(home, part):
    """Change one byte of the beginning of anna's run; return the run's id."""
    (path,) = home.rglob("*.seg")
    data = bytearray(path.read_bytes())
    for kind, start, end in frames.split(bytes(data)):
        if kind == frames.EVENT:
            event = e.decode(bytes(data[start + frames.PREFIX.size : end]))
            if isinstance(event, e.RunStarted) and event.thread_id == "t-anna":
                data[data.index(part, start) + 2] ^= 0x55
                run = event.trajectory
    path.write_bytes(data)
    return run


def texts_left(home):
    return [p for p in home.rglob("*") if p.is_file() and SECRET in p.read_bytes()]


@pytest.mark.parametrize("part", [b"agent", b"trajectory", b"entry"])
@pytest.mark.parametrize("name", [{"thread_id": "t-anna"}, {"user": "anna-lena"}])
def test_a_run_whose_beginning_is_damaged_is_forgotten_with_the_name_in_it(home, part, name):
    run = damage_start(home, part)

    report = Workspace(home).forget(**name)

    assert report.trajectories == [run]
    assert texts_left(home) == []
    assert [found.thread_id for found in Workspace(home).trajectories()] == ["t-bob"]


def test_a_run_whose_damage_holds_no_name_stays_and_is_doubtful(home):
    run = damage_start(home, b"t-anna")

    report = Workspace(home).forget(thread_id="t-anna")

    assert report.trajectories == []
    assert report.doubtful == [run]


def test_the_other_name_takes_no_damaged_run_with_it(home):
    damage_start(home, b"agent")

    Workspace(home).forget(thread_id="t-bob")

    assert texts_left(home)


def test_a_report_counts_what_only_the_reading_of_runs_shows(home):
    workspace = Workspace(home)
    before = workspace.read_report()
    (path,) = home.rglob("*.seg")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"the order of anna is here")
    data[at] ^= 0x01
    path.write_bytes(data)

    first = Workspace(home).read_report()
    again = Workspace(home)
    list(again.trajectories())

    assert before.wrong_contents == before.corrupt == before.lost_events == 0
    assert first.corrupt + first.wrong_contents + first.lost_events > 0
    assert again.read_report() == again.read_report() == first
