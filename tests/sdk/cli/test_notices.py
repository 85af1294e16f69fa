"""Likely mistakes that stop nothing are logged once, counted, and shown by `burnish doctor`."""

from __future__ import annotations

import logging

import pytest
from langchain_core.runnables import RunnableLambda

import burnish as library
from burnish.capture import faults, notices
from burnish.testing.chat_model import ScriptedChatModel

AGENT = RunnableLambda(lambda text: text.upper())


@pytest.fixture(autouse=True)
def _nothing_counted():
    faults.forget()
    notices.forget_notices()
    yield
    faults.forget()
    notices.forget_notices()


def notice_of(burnish):
    library.flush()
    found = {one["name"]: one for one in burnish("doctor", "--json", "--no-imports")}
    assert found["faults"]["detail"] == "none"
    return found["notices"]


def test_a_wrapped_agent_that_burnish_toml_does_not_declare_is_recorded_and_said_once(
    project, burnish, caplog
):
    with caplog.at_level(logging.WARNING, "burnish"):
        for _ in range(3):
            library.wrap(AGENT, agent="suport").invoke("hello")

    (line,) = [one.message for one in caplog.records]
    assert "wrap() got the agent 'suport'" in line
    assert "declares support" in line
    assert notice_of(burnish)["detail"] == "agent not in burnish.toml: suport 1"


def test_a_routed_agent_is_looked_up_too(project, burnish, caplog):
    library.route(ScriptedChatModel(), agent="nobody")

    assert "route() got the agent 'nobody'" in caplog.text
    assert "nobody" in notice_of(burnish)["detail"]


def test_a_declared_agent_and_a_folder_without_burnish_toml_are_no_mistake(
    project, burnish, caplog
):
    library.wrap(AGENT, agent="support")
    (project / "burnish.toml").unlink()
    library.wrap(AGENT, agent="another")

    assert caplog.text == ""
    assert notice_of(burnish)["detail"] == "none"


def test_a_burnish_toml_that_cannot_be_read_stops_no_agent(project, burnish, caplog):
    (project / "burnish.toml").write_text("[agent.support\n")

    assert library.wrap(AGENT, agent="suport").invoke("hello") == "HELLO"
    assert caplog.text == ""


def test_an_outcome_of_a_thread_that_never_was_is_kept_and_shown(project, burnish):
    library.outcome(thread_id="t-never", success=True, source="crm")
    library.wrap(AGENT, agent="support").invoke("hello", {"configurable": {"thread_id": "t-1"}})
    library.outcome(thread_id="t-1", success=True, source="crm")

    detail = notice_of(burnish)["detail"]

    assert detail == "threads with an outcome and without a run, such as t-never: 1"


def test_an_outcome_in_another_folder_is_said(project, burnish, tmp_path_factory, caplog):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    library.configure(home=elsewhere / ".burnish")

    for _ in range(2):
        library.outcome(thread_id="t-1", success=True, source="crm")

    assert caplog.text.count("where no run was recorded yet") == 1
    assert str(elsewhere) in caplog.text


def test_a_world_that_is_only_named_is_said(project, burnish, caplog):
    agent = library.wrap(AGENT, agent="support")
    for number in range(3):
        with library.task(id=f"order-{number}", environment="desk"):
            agent.invoke("hello")

    assert caplog.text.count("no final state of it is recorded") == 1
    assert notice_of(burnish)["detail"] == "task(environment) is a name 3"
