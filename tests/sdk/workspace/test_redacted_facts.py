"""Facts from outside pass the redactor before they reach the disk, like all other data."""

import pytest
from langchain.agents import create_agent

import burnish
from burnish.records import Outcome, Verdict
from burnish.redaction import Redactor, workspace_key
from burnish.testing import ScriptedChatModel
from burnish.workspace import Workspace

MAIL = "anna.gruber@firma-huber.at"
RUN = "a" * 32


def of_thread(workspace):
    outcome = Outcome(source="crm", success=True, label=f"said {MAIL}", evidence={"mail": MAIL})
    workspace.append_outcome(outcome, thread_id=MAIL)


def of_run(workspace):
    evidence = [{"rows": (MAIL, {MAIL: 1})}, Outcome(source="crm", label=MAIL)]
    workspace.append_outcome(Outcome(source="crm", evidence=evidence), trajectory_id=RUN)


def verdict(workspace):
    evidence = {"expected": f"a letter to {MAIL}"}
    workspace.append_verdict(RUN, Verdict(label="fail", verifier="letters", evidence=evidence))


def state(workspace):
    workspace.record_state(RUN, {"customers": [{"mail": MAIL}]})


def told(workspace):
    burnish.outcome(thread_id=MAIL, label=f"said {MAIL}", source="crm", evidence={"mail": MAIL})


FACTS = [of_thread, of_run, verdict, state, told]


def on_disk(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def written(tmp_path, fact):
    """Return every byte of the workspace after a fact was reported."""
    workspace = Workspace(tmp_path)
    fact(workspace)
    workspace.writer().flush()
    list(workspace.trajectories())  # the index is made
    return on_disk(tmp_path)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.__name__)
@pytest.mark.parametrize("setting", ["structured", lambda text: text.replace(MAIL, "x@y.invalid")])
def test_no_fact_brings_what_must_not_be_kept(tmp_path, redacting, setting, fact):
    redacting(setting)

    stored = written(tmp_path, fact)

    assert MAIL.encode() not in stored
    assert b".invalid" in stored


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.__name__)
def test_where_nothing_is_redacted_facts_stay_as_they_are(tmp_path, redacting, fact):
    redacting("none")

    assert MAIL.encode() in written(tmp_path, fact)


def test_where_the_detector_fails_the_evidence_is_withheld(tmp_path, redacting):
    def failing(text):
        raise RuntimeError("no model today")

    redacting(failing)

    stored = written(tmp_path, of_thread)

    assert MAIL.encode() not in stored
    assert b"redaction failed" in stored


def test_an_outcome_of_a_redacted_thread_meets_its_run(tmp_path, redacting):
    redacting("structured")
    graph = create_agent(ScriptedChatModel(script=["Fine."]), [])
    asked = {"messages": [("user", "all well?")]}
    burnish.wrap(graph, agent="mail").invoke(asked, {"configurable": {"thread_id": MAIL}})
    workspace = Workspace(tmp_path)

    of_thread(workspace)

    (run,) = workspace.trajectories()
    (outcome,) = run.outcomes
    assert run.thread_id == outcome.evidence["mail"] == outcome.label.removeprefix("said ")


def test_stand_ins_are_those_of_the_workspace_that_is_written(tmp_path, redacting):
    redacting("structured")
    elsewhere = tmp_path / "elsewhere"

    stored = written(elsewhere, of_thread)

    there_name, here_name = (
        Redactor(workspace_key(home)).pseudonym("email", MAIL).encode()
        for home in (elsewhere, tmp_path)
    )
    assert there_name in stored
    assert here_name not in stored
