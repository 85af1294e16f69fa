"""People label runs through the command line."""

import json

import pytest
from stored_runs import put
from typer.testing import CliRunner

import burnish
from burnish.cli.app import build_app
from burnish.errors import VerificationError, WorkspaceError
from burnish.records import Verdict
from burnish_exporters import build_dataset
from burnish_exporters.labels import Label, labels_of, record_label, unlabelled_runs
from burnish_exporters.verify import human


@pytest.fixture
def workspace(make_run, home):
    """Six finished runs and one that still runs, none of them labelled."""
    workspace = burnish.Workspace()
    for n in range(6):
        put(workspace, make_run(n, success=None))
    return workspace


def run(*words, given=None):
    result = CliRunner().invoke(build_app(), words, input=given, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_accept_reject_unsure_and_edit_are_keys_and_become_outcomes(workspace):
    keys = "a\nr\nu\ne\nOrder 3 is in Rome.\ns\nq\n"

    said = run("label", "run", "support", "--queue", "random", "--reviewer", "ann", given=keys)

    assert "4 labels were given" in said
    labels = [label for run in workspace.trajectories() for label in labels_of(run)]
    assert sorted(label.label for label in labels if label.reviewer) == [
        "accept", "edit", "reject", "unsure",
    ]  # fmt: skip
    assert {label.reviewer for label in labels if label.reviewer} == {"ann"}


def test_ctrl_c_or_the_end_of_the_input_keeps_what_was_labelled(workspace):
    words = ("label", "run", "support", "--queue", "random")
    result = CliRunner().invoke(build_app(), words, input="a\nr\n")

    assert result.exit_code == 130
    assert "2 labels were given" in result.stdout
    assert sum(len(labels_of(run)) for run in workspace.trajectories()) == 2


@pytest.mark.parametrize(
    "line", ["actually wrong", "rather good", "use it", "aa", "yes", "ac", "A.", "1", "accept it"]
)
def test_a_line_that_is_no_key_is_no_label(workspace, line):
    said = run("label", "run", "support", "--queue", "random", given=f"{line}\nq\n")

    assert "0 labels were given" in said
    assert not [label for run in workspace.trajectories() for label in labels_of(run)]


@pytest.mark.parametrize("line", ["a", "A", " accept ", "Accept"])
def test_a_key_or_its_whole_word_is_a_label(workspace, line):
    assert "1 labels were given" in run(
        "label", "run", "support", "--queue", "random", "--limit", "1", given=f"{line}\n"
    )


def test_a_person_is_shown_the_run_but_not_what_verifiers_say(workspace, make_run):
    (first,) = list(workspace.trajectories())[:1]
    workspace.append_verdict(first.id, Verdict(label="fail", verifier="the-verifier", decided_ns=1))

    shown = run("label", "run", "support", "--queue", "unknown", given="q\n")
    workspace.append_verdict(first.id, Verdict(label="unknown", verifier="other", decided_ns=2))
    shown = run("label", "run", "support", "--queue", "unknown", given="q\n")

    for text in ("Where is order 0?", "look_up", "city 0", "final state", "Order 0 is in town."):
        assert text in shown
    assert "the-verifier" not in shown


def test_an_edited_run_is_a_failure_and_its_corrected_copy_an_accepted_demonstration(workspace):
    (first,) = list(workspace.trajectories())[:1]

    run("label", "give", first.id, "edit", "--answer", "Order 0 is in Rome.")

    runs = {run.source: run for run in workspace.trajectories() if labels_of(run)}
    assert human().verify(runs["production"]).label == "fail"
    corrected = runs["demonstration"]
    assert human().verify(corrected).label == "success"
    assert (corrected.answer, corrected.tags) == ("Order 0 is in Rome.", [f"edited:{first.id}"])
    version = build_dataset(workspace, agent="support", verify=["human"])
    (row,) = version.rows()
    assert row["messages"][-1]["content"] == "Order 0 is in Rome."
    assert row["task_id"] == first.task_id


def test_the_newest_label_counts(workspace):
    (first,) = list(workspace.trajectories())[:1]
    for label in ("accept", "reject"):
        run("label", "give", first.id, label)

    assert human().verify(workspace.trajectory(first.id)).label == "fail"


def test_unsure_is_no_label_that_anything_learns_from(workspace):
    (first,) = list(workspace.trajectories())[:1]
    run("label", "give", first.id, "unsure", "--note", "cannot see the order")

    assert human().verify(workspace.trajectory(first.id)).label == "unknown"
    assert json.loads(run("label", "list", "--json"))[0]["note"] == "cannot see the order"


def test_labels_travel_as_lines_and_are_taken_once(workspace, tmp_path, make_run):
    for n, label in enumerate(("accept", "reject", "unsure")):
        run("label", "give", make_run(n).id, label, "--reviewer", "ann")
    file = tmp_path / "labels.jsonl"
    run("label", "export", str(file), "--agent", "support")
    other = burnish.Workspace(tmp_path / "other")
    for n in range(3):
        put(other, make_run(n, success=None))

    words = ("label", "import", str(file), "--home", str(tmp_path / "other"), "--json")
    first, second = (json.loads(run(*words)) for _ in range(2))

    assert first == {"imported": 3, "known": 0, "dropped": {}}
    assert second == {"imported": 0, "known": 3, "dropped": {}}
    told = [(run.id, [label.label for label in labels_of(run)]) for run in other.trajectories()]
    assert told == [
        (make_run(n).id, [label]) for n, label in enumerate(("accept", "reject", "unsure"))
    ]
    line = json.loads(file.read_text().splitlines()[0])
    assert line["run"] == {
        "agent": "support", "task_id": "task-0", "answered": "Order 0 is in town.", "verdicts": {}
    }  # fmt: skip


def test_lines_that_are_no_labels_are_counted_by_reason(workspace, tmp_path, make_run):
    file = tmp_path / "labels.jsonl"
    known = make_run(0).id
    lines = [
        {"trajectory_id": known, "label": "accept"},
        {"trajectory_id": "f" * 32, "label": "accept"},
        {"trajectory_id": known, "label": "edit"},
        {"trajectory_id": known, "label": "great"},
        {"label": "accept"},
        [],
    ]
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n{oops\n\n")

    report = json.loads(run("label", "import", str(file), "--json"))

    assert report["imported"] == 1
    assert report["dropped"] == {
        "malformed: an edit without an answer": 1, "malformed: no label": 4, "no such run": 1
    }  # fmt: skip


def test_the_queue_of_disputes_holds_runs_of_which_verifiers_say_different_things(workspace):
    ids = [run.id for run in workspace.trajectories()]
    for number, labels in enumerate(
        (("success", "fail"), ("success", "unknown"), ("fail", "fail"))
    ):
        for name, label in zip(("check", "judge"), labels, strict=True):
            verdict = Verdict(label=label, verifier=name, decided_ns=1)
            workspace.append_verdict(ids[number], verdict)

    assert [run.id for run in unlabelled_runs(workspace, "support", "disagree")] == [ids[0]]
    assert [run.id for run in unlabelled_runs(workspace, "support", "unknown")] == [ids[1]]
    record_label(workspace, Label(trajectory_id=ids[0], label="accept"))
    assert not list(unlabelled_runs(workspace, "support", "disagree"))


def test_what_cannot_be_labelled_is_one_clear_error(workspace):
    with pytest.raises(VerificationError, match=r"burnish verify audit support --draw 100"):
        run("label", "run", "support")
    with pytest.raises(WorkspaceError, match="no trajectory"):
        run("label", "give", "feed", "accept")
    with pytest.raises(VerificationError, match="an answer"):
        run("label", "give", "0" * 31 + "1", "edit")
    with pytest.raises(VerificationError, match="JSON lines"):
        run("label", "import", "nowhere.jsonl")
