"""`burnish traces` lists the newest runs first, names what it leaves out, and shows a run as a tree."""

from __future__ import annotations

import re

import pytest

from burnish.errors import SettingsError
from burnish.records import Outcome
from burnish.testing.recording import Recording
from burnish.workspace import Workspace


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Six runs of two agents, two sources and two tasks; every second one fails."""
    monkeypatch.chdir(tmp_path)
    recording = Recording(tmp_path / ".burnish")
    for number in range(6):
        run = recording.run(
            f"{number}f" * 16,
            agent="support" if number < 5 else "sales",
            thread_id=f"t-{number}",
            task_id=f"task-{number % 2}",
            source="rollout" if number == 0 else "production",
        )
        run.model_says(f"answer {number}")
        run.end(answer=f"answer {number}", status="failed" if number % 2 else "completed")
    recording.writer.close()
    return recording


def answers(listed):
    return [one["answer"] for one in listed]


def test_the_newest_runs_come_first_and_the_rest_is_counted(recorded, burnish):
    listed = burnish("traces", "list", "--limit", "2", "--json")

    assert answers(listed) == ["answer 5", "answer 4"]


def test_the_list_says_how_many_runs_it_leaves_out(recorded, command_line):
    code, shown, told = command_line("traces", "list", "--limit", "4")

    assert code == 0
    assert "answer 5" in shown
    assert "answer 1" not in shown
    assert told == "and 2 more; --limit shows them\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--agent", "sales"], ["answer 5"]),
        (["--source", "rollout"], ["answer 0"]),
        (["--thread", "t-3"], ["answer 3"]),
        (["--task", "task-1"], ["answer 5", "answer 3", "answer 1"]),
        (["--status", "completed"], ["answer 4", "answer 2", "answer 0"]),
        (["--since", "2100-01-01"], []),
    ],
)
def test_options_narrow_the_list(recorded, burnish, options, expected):
    assert answers(burnish("traces", "list", *options, "--json")) == expected


def test_an_empty_list_says_where_it_looked(recorded, burnish, tmp_path):
    shown = burnish("traces", "list", "--source", "teacher")

    assert str(tmp_path / ".burnish") in shown
    assert "source teacher" in shown


def test_a_moment_that_is_none_is_refused_by_name(recorded, burnish):
    with pytest.raises(SettingsError, match=r"--since is 'yesterday'.*2026-11-28.*--since 6h"):
        burnish("traces", "list", "--since", "yesterday")


def test_the_list_fits_eighty_columns(recorded, burnish, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    shown = burnish("traces", "list")

    assert max(map(len, shown.splitlines())) <= 80
    assert len(re.findall(r"\d\d-\d\d \d\d:\d\d:\d\d", shown)) == 6
    assert shown.count("completed") == 3


def test_a_run_is_shown_with_its_times_errors_and_evidence(tmp_path, monkeypatch, burnish):
    monkeypatch.chdir(tmp_path)
    recording = Recording(tmp_path / ".burnish")
    name = "ab" * 16
    recording.write_run(name, task_id="task-1", task="order 1")
    crm = Outcome(source="crm", success=False, evidence={"ticket": "c-7"})
    Workspace(tmp_path / ".burnish").append_outcome(crm, trajectory_id=name)
    recording.writer.close()

    shown = burnish("traces", "show", "abab")

    assert "outcome from crm: failure, evidence " in shown
    assert '"ticket":"c-7"' in shown
    assert re.search(r"took: \d+\.\d\d s", shown)
    assert re.search(r"model \[.*\] \d+ messages.* -> .*\(\d+\.\d\d s\)", shown)
