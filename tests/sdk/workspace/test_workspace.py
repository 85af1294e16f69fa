"""Guarantees of a workspace for the packages above it."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import textwrap
import time

import pytest

from burnish.errors import WorkspaceError, WorkspaceTooNew
from burnish.journal import events as e
from burnish.journal.reader import process_folders, segments
from burnish.journal.writer import JournalWriter
from burnish.records import Outcome, Verdict
from burnish.settings import Settings
from burnish.testing.recording import Recording
from burnish.trajectories import assemble
from burnish.workspace import Workspace


def bytes_of(trajectories):
    return [e.canonical(trajectory) for trajectory in trajectories]


def test_a_recorded_run_comes_back_with_every_call(tmp_path):
    recording = Recording(tmp_path)
    recording.write_run("a" * 32, steps=3, thread_id="t-1", user="u", tags=["x"], attempt=2)

    (trajectory,) = Workspace(tmp_path).trajectories()

    assert trajectory.status == "completed"
    assert (trajectory.thread_id, trajectory.user, trajectory.attempt) == ("t-1", "u", 2)
    assert [len(call.messages) for call in trajectory.model_calls] == [2, 4, 6]
    assert [call.finish_reason for call in trajectory.model_calls] == [
        "tool_calls",
        "tool_calls",
        "stop",
    ]
    assert [run.result for run in trajectory.tool_runs] == ["value 0", "value 1"]
    assert trajectory.input["messages"][1]["parts"][0]["content"] == "do " + "a" * 32
    assert trajectory.model_calls[0].tools[0]["name"] == "look_up"
    assert trajectory.answer == "done"
    assert trajectory.losses == {}


def test_messages_that_calls_share_are_one_object(tmp_path):
    Recording(tmp_path).write_run("a" * 32, steps=4)
    (trajectory,) = Workspace(tmp_path).trajectories()
    first, *_, last = trajectory.model_calls

    assert first.messages[0] is last.messages[0]
    assert first.tools is last.tools


def test_the_journal_and_its_spans_assemble_to_the_same(tmp_path):
    recording = Recording(tmp_path)
    workspace = Workspace(tmp_path)
    for number in range(5):
        recording.write_run(f"{number:032x}", steps=number + 1, thread_id=f"t-{number % 2}")
    workspace.append_outcome(Outcome(source="crm", success=True), thread_id="t-1")
    workspace.append_verdict(f"{2:032x}", Verdict(label="success", verifier="v", score=1.0))
    workspace.record_state(f"{2:032x}", {"rows": 2**70})

    assert bytes_of(assemble(workspace.spans())) == bytes_of(workspace.trajectories())


def test_facts_reach_their_trajectory_from_any_process(tmp_path):
    Recording(tmp_path).write_run("a" * 32, thread_id="t-1")
    code = f"""
        from burnish.records import Outcome, Verdict
        from burnish.workspace import Workspace
        workspace = Workspace({str(tmp_path)!r})
        workspace.append_verdict("{"a" * 32}", Verdict(label="fail", verifier="v", evidence={{"n": [1]}}))
        workspace.append_outcome(Outcome(source="crm", success=False), thread_id="t-1")
        workspace.append_outcome(Outcome(source="desk", score=0.25), trajectory_id="{"a" * 32}")
        workspace.record_state("{"a" * 32}", {{"rows": [None]}})
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    trajectory = Workspace(tmp_path).trajectory("a" * 32)

    assert [(v.label, v.evidence) for v in trajectory.verdicts] == [("fail", {"n": [1]})]
    assert [(o.source, o.success, o.score) for o in trajectory.outcomes] == [
        ("crm", False, None),
        ("desk", None, 0.25),
    ]
    assert trajectory.final_state == {"rows": [None]}


def test_an_outcome_of_a_thread_labels_the_attempt_that_had_ended(tmp_path):
    recording = Recording(tmp_path)
    workspace = Workspace(tmp_path)
    recording.write_run("a" * 32, thread_id="t")
    workspace.append_outcome(Outcome(source="crm", success=False), thread_id="t")
    recording.write_run("b" * 32, thread_id="t")
    workspace.append_outcome(Outcome(source="crm", success=True), thread_id="t")
    workspace.append_outcome(Outcome(source="audit", label="ok", scope="thread"), thread_id="t")

    first, second = workspace.trajectories()

    assert [(o.source, o.success) for o in first.outcomes] == [("crm", False), ("audit", None)]
    assert [(o.source, o.success) for o in second.outcomes] == [("crm", True), ("audit", None)]


def test_an_outcome_must_name_one_thing(tmp_path):
    with pytest.raises(WorkspaceError, match="either a trajectory or a thread"):
        Workspace(tmp_path).append_outcome(Outcome(source="crm"))


def test_a_trajectory_is_found_by_the_beginning_of_its_id(tmp_path):
    recording = Recording(tmp_path)
    recording.write_run("abc" + "0" * 29)
    recording.write_run("abd" + "0" * 29)
    workspace = Workspace(tmp_path)

    assert workspace.trajectory("abc").id == "abc" + "0" * 29
    with pytest.raises(WorkspaceError, match=r"2 trajectories .* begin with 'ab'"):
        workspace.trajectory("ab")
    with pytest.raises(WorkspaceError, match=r"no trajectory 'x'.*burnish traces list"):
        workspace.trajectory("x")
    with pytest.raises(WorkspaceError, match="no trajectory ''"):
        workspace.trajectory("")


def test_trajectories_are_chosen_by_agent_time_source_and_status(tmp_path):
    recording = Recording(tmp_path)
    recording.write_run("a" * 32, agent="one", source="rollout")
    middle = time.time_ns()
    recording.write_run("b" * 32, agent="two")
    run = recording.run("c" * 32, agent="two")
    run.model_says("no")
    run.end("failed", error_type="ValueError", error="broken")
    workspace = Workspace(tmp_path)

    def ids(**query):
        return [trajectory.id[0] for trajectory in workspace.trajectories(**query)]

    assert ids() == ["a", "b", "c"]
    assert ids(agent="two") == ["b", "c"]
    assert ids(source="rollout") == ["a"]
    assert ids(status="failed") == ["c"]
    assert ids(since=middle) == ["b", "c"]
    assert ids(since=dt.timedelta(hours=1)) == ["a", "b", "c"]
    assert ids(since=dt.datetime.now(dt.UTC)) == []
    assert workspace.trajectory("c").error.type == "ValueError"


def test_a_run_resumed_in_another_process_is_one_trajectory(tmp_path):
    first = Recording(tmp_path)
    run = first.run("a" * 32, thread_id="t")
    run.model_calls_tool("c0", {})
    run.end("interrupted", interrupts=["i-1"])
    first.writer.close()
    second = Recording(tmp_path)
    run = second.run("a" * 32, thread_id="t", resumed=True)
    run.run_tool("c0", {}, "approved")
    run.model_says("sent")
    run.end(answer="sent")

    (trajectory,) = Workspace(tmp_path).trajectories()

    assert trajectory.status == "completed"
    assert (len(trajectory.model_calls), len(trajectory.tool_runs)) == (2, 1)
    assert trajectory.losses == {}


def test_a_killed_run_is_abandoned_and_says_what_is_missing(tmp_path):
    recording = Recording(tmp_path)
    run = recording.run("a" * 32)
    run.model_says("thinking")
    run.model_starts()
    workspace = Workspace(tmp_path)
    assert workspace.trajectory("a").status == "running"

    recording.writer.close()

    trajectory = workspace.trajectory("a")
    assert trajectory.status == "abandoned"
    assert trajectory.losses == {"unfinished_spans": 2}
    assert trajectory.model_calls[1].reply is None


def test_lost_content_is_a_loss_of_its_trajectory_only(tmp_path):
    writer = JournalWriter(tmp_path, Settings())
    recording = Recording(tmp_path, writer)
    recording.write_run("a" * 32, task="first")
    recording.write_run("b" * 32, task="second")
    writer.close()
    (folder,) = process_folders(tmp_path)
    (path,) = segments(folder)
    content = path.read_bytes()
    where = content.index(b'"second"')
    path.write_bytes(content[:where] + b"x" + content[where + 1 :])

    first, second = Workspace(tmp_path).trajectories()

    assert first.losses == {}
    assert second.losses["missing_blobs"] >= 1
    assert Workspace(tmp_path).read_report().corrupt >= 1


def test_an_index_made_again_gives_the_same_trajectories(tmp_path):
    recording = Recording(tmp_path)
    for number in range(6):
        recording.write_run(f"{number:032x}", thread_id="t")
    workspace = Workspace(tmp_path)
    before = bytes_of(workspace.trajectories())
    workspace.rebuild_index()

    assert bytes_of(workspace.trajectories()) == before
    assert bytes_of(Workspace(tmp_path).trajectories()) == before


def test_a_newer_workspace_is_refused(tmp_path):
    (tmp_path / "workspace.json").write_text('{"format": 2, "burnish": "9.0"}')

    with pytest.raises(WorkspaceTooNew, match=r"written by burnish 9\.0"):
        Workspace(tmp_path)


def test_a_reader_sees_what_was_written_since(tmp_path):
    recording = Recording(tmp_path)
    workspace = Workspace(tmp_path)
    for number in range(1, 6):
        recording.write_run(f"{number:032x}")
        assert len(list(workspace.trajectories())) == number


def test_lineage_names_the_parents_that_are_there(tmp_path):
    (tmp_path / "datasets/d@1").mkdir(parents=True)
    (tmp_path / "datasets/d@1/manifest.json").write_text('{"id": "d@1", "sources": [{"n": 3}]}')
    (tmp_path / "adapters/a@1").mkdir(parents=True)
    (tmp_path / "adapters/a@1/burnish.json").write_text(
        '{"id": "a@1", "dataset": "d@1", "parents": ["a@0"], "forced": true}'
    )
    workspace = Workspace(tmp_path)
    made = workspace.lineage("a@1")

    assert (made["kind"], made["forced"]) == ("adapter", True)
    assert [(p["kind"], p["id"]) for p in made["parents"]] == [
        ("missing", "a@0"),
        ("dataset", "d@1"),
    ]
    assert made["parents"][1]["sources"] == [{"n": 3}]
    with pytest.raises(WorkspaceError):
        workspace.lineage("nothing")


@pytest.mark.parametrize("name", ["\udcff", "a" * 10_000, "\0", "%", "'", "."])
def test_a_name_that_cannot_be_is_not_found(tmp_path, name):
    Recording(tmp_path).write_run("a" * 32)
    workspace = Workspace(tmp_path)

    for look_up in (workspace.trajectory, workspace.lineage):
        with pytest.raises(WorkspaceError, match="no trajectory"):
            look_up(name)
    assert len(list(workspace.trajectories())) == 1


def test_any_moment_may_be_asked_for(tmp_path):
    Recording(tmp_path).write_run("a" * 32)
    workspace = Workspace(tmp_path)

    for early in (
        -(10**30),
        float("-inf"),
        dt.timedelta.max,
        dt.datetime(1, 1, 1, tzinfo=dt.UTC),
        0,
    ):
        assert len(list(workspace.trajectories(since=early))) == 1
    for late in (10**30, float("inf"), dt.timedelta.min):
        assert list(workspace.trajectories(since=late)) == []
    for none in (float("nan"), "yesterday"):
        with pytest.raises(WorkspaceError, match="is not a time"):
            list(workspace.trajectories(since=none))
