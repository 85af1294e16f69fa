"""Forgetting by name finds the pseudonym that redaction wrote instead of the name."""

import json

import pytest
from langchain.agents import create_agent

import burnish
from burnish.journal.lifecycle import erasure
from burnish.journal.reader import read_events
from burnish.records import Outcome
from burnish.redaction import Redactor, workspace_key
from burnish.testing import ScriptedChatModel
from burnish.workspace import Workspace

ANNA, BERT = "anna@example.org", "bert@example.org"


@pytest.fixture
def talk():
    """A run of a real graph, of a user in the thread of the same name."""

    def run(name):
        script = [f"{name.split('@')[0].upper()} is helped."]
        agent = burnish.wrap(create_agent(ScriptedChatModel(script=script), []), agent="mail")
        config = {"configurable": {"thread_id": name}, "metadata": {"user_id": name}}
        agent.invoke({"messages": [("user", f"I am {name}")]}, config)

    return run


@pytest.fixture
def both(tmp_path, redacting, talk):
    """A workspace in which two people talked under redaction."""
    redacting("structured")
    talk(ANNA)
    talk(BERT)
    workspace = Workspace(tmp_path)
    for name in (ANNA, BERT):
        outcome = Outcome(source="crm", success=True, label=f"{name.split('@')[0].upper()} called")
        workspace.append_outcome(outcome, thread_id=name)
    assert {run.user for run in workspace.trajectories()} == {
        stand_in(tmp_path, ANNA),
        stand_in(tmp_path, BERT),
    }
    return workspace


def stand_in(home, name):
    return Redactor(workspace_key(home)).pseudonym("email", name)


def decoded(home):
    """Return all events and contents that the journal still holds."""
    found = []
    for event, blobs in read_events(home):
        found += [repr(event), *(repr(blobs.own(ref)) for ref in erasure.refs_of(event))]
    return " ".join(found)


def of_bert_alone(workspace):
    (run,) = workspace.trajectories()
    home, left = workspace.home, decoded(workspace.home)
    stored = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert (run.user, run.answer) == (stand_in(home, BERT), "BERT is helped.")
    assert "BERT is helped." in left
    for trace in (ANNA, stand_in(home, ANNA), "ANNA is helped."):
        assert trace not in left
        assert trace.encode() not in stored


@pytest.mark.parametrize("kind", ["user", "thread_id"])
@pytest.mark.parametrize("name", [ANNA, ANNA.upper()])
def test_a_redacted_name_is_forgotten_by_the_original(both, kind, name):
    (anna,) = [run.id for run in both.trajectories() if "ANNA" in str(run.answer)]

    report = both.forget(**{kind: name})

    (stone,) = erasure.tombstones(both.home)
    assert report.trajectories == stone.trajectories == [anna]
    assert report.frames > 5
    of_bert_alone(both)
    assert both.forget(**{kind: name}).trajectories == []


def test_the_key_finds_it_after_redaction_was_switched_off(both, redacting):
    redacting("none")

    assert len(both.forget(user=ANNA).trajectories) == 1
    of_bert_alone(both)


def test_what_was_recorded_before_redaction_goes_with_it(tmp_path, redacting, talk):
    redacting("none")
    talk(ANNA)
    redacting("structured")
    talk(ANNA)
    talk(BERT)
    workspace = Workspace(tmp_path)

    assert len(workspace.forget(user=ANNA).trajectories) == 2
    of_bert_alone(workspace)


def test_the_key_of_the_folder_is_tried_beside_that_of_the_environment(both, monkeypatch):
    with monkeypatch.context() as context:
        context.setenv("BURNISH_REDACTION_KEY", "of the environment")
        report = both.forget(user=ANNA)

    assert len(report.trajectories) == 1
    of_bert_alone(both)


def test_the_key_of_the_environment_is_tried(tmp_path, redacting, talk, monkeypatch):
    monkeypatch.setenv("BURNISH_REDACTION_KEY", "of the environment")
    redacting("structured")
    talk(ANNA)

    assert len(Workspace(tmp_path).forget(user=ANNA).trajectories) == 1
    assert not (tmp_path / "redaction.key").exists()


def test_forgetting_makes_no_key(tmp_path, redacting, talk):
    redacting("none")
    talk(ANNA)

    assert len(Workspace(tmp_path).forget(user=ANNA).trajectories) == 1
    assert not (tmp_path / "redaction.key").exists()


def test_what_a_function_of_ones_own_writes_for_many_is_named_and_stays(
    tmp_path, redacting, talk, command_line
):
    redacting(lambda text: text.replace(ANNA, "[mail]").replace(BERT, "[mail]"))
    talk(ANNA)
    talk(BERT)
    workspace = Workspace(tmp_path)

    report = workspace.forget(user=ANNA)

    assert report.trajectories == []
    assert report.doubtful == [run.id for run in workspace.trajectories()]
    assert len(report.doubtful) == 2
    code, printed, _ = command_line("forget", "--user", "[mail]", "--home", tmp_path, "--json")
    assert code == 0
    assert json.loads(printed)["trajectories"] == report.doubtful
