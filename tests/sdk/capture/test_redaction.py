"""Redacted text does not reach the journal, in any spelling."""

import re

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

import burnish
from burnish.journal.events import ModelEnded, ModelStarted, RunEnded, RunStarted, ToolStarted
from burnish.testing import ScriptedChatModel

MAIL = "anna.gruber@firma-huber.at"
KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"


@tool(response_format="content_and_artifact")
def find(mail: str):
    """Find a customer."""
    return f"customer 7 is {mail}", {"row": [mail]}


def agent():
    call = AIMessage(
        f"I look for {MAIL}.",
        additional_kwargs={"reasoning_content": f"their mail is {MAIL}"},
        tool_calls=[{"name": "find", "args": {"mail": MAIL}, "id": "c1"}],
        response_metadata={
            "burnish": {"token_ids": [1, 2], "prompt_token_ids": [3], "logprobs": [-1.0, -2.0]},
            "logprobs": {"content": [{"token": MAIL, "logprob": -1.0}]},
        },
    )
    return create_agent(ScriptedChatModel(script=[call, f"It is {MAIL}."]), [find])


@pytest.mark.parametrize("setting", ["structured", lambda text: text.replace(MAIL, "x@y.invalid")])
def test_nothing_of_it_is_stored_anywhere(journal, redacting, setting, everything):
    redacting(setting)

    result = burnish.wrap(agent(), agent="mail").invoke(
        {"messages": [("user", f"my mail is {MAIL}")]},
        {"metadata": {"user_id": MAIL}, "tags": [MAIL], "configurable": {"thread_id": MAIL}},
    )

    assert result["messages"][-1].content == f"It is {MAIL}."
    assert MAIL not in everything(journal)
    first, _ = journal.of(ModelEnded)
    assert (first.token_ids, first.prompt_token_ids, first.logprobs) == (None, None, None)
    assert {event.redacted for event in journal.of(ModelEnded)} == {True}
    assert {event.redacted for event in journal.of(ModelStarted)} == {True}
    assert journal.of(RunEnded)[0].losses == {}


def test_stand_ins_are_the_same_everywhere_so_that_results_match_arguments(
    journal, redacting, everything
):
    redacting("structured")

    burnish.wrap(agent(), agent="mail").invoke({"messages": [("user", f"my mail is {MAIL}")]})

    stand_in = journal.value(journal.of(ToolStarted)[0].arguments)["mail"]
    assert stand_in.endswith("@example.invalid")
    assert set(re.findall(r"[\w.]+@[\w.]+\.invalid", everything(journal))) == {stand_in}


def test_secrets_alone_leave_addresses(journal, redacting, everything):
    redacting("secrets")

    burnish.wrap(agent(), agent="mail").invoke(
        {"messages": [("user", f"my mail is {MAIL}, my key {KEY}")]}
    )

    assert KEY not in everything(journal)
    assert MAIL in everything(journal)


def test_what_has_nothing_to_hide_keeps_its_tokens(agents, journal, redacting):
    redacting("structured")
    answer = AIMessage("ten", response_metadata={"burnish": {"token_ids": [1, 2]}})

    burnish.wrap(ScriptedChatModel(script=[answer]), agent="plain").invoke("what is 3 + 7?")

    (ended,) = journal.of(ModelEnded)
    assert (ended.token_ids, ended.redacted) == ([1, 2], False)
    assert not journal.of(RunStarted)[0].redacted


def test_where_the_detector_fails_nothing_is_let_through(journal, redacting, everything):
    def failing(text):
        raise RuntimeError("no model today")

    redacting(failing)

    result = burnish.wrap(agent(), agent="mail").invoke({"messages": [("user", MAIL)]})

    assert result["messages"][-1].content == f"It is {MAIL}."
    assert MAIL not in everything(journal)


def test_outcomes_pass_the_same_door(journal, redacting, everything):
    redacting("structured")

    burnish.outcome(thread_id=MAIL, success=True, source="crm", evidence={"mail": MAIL})

    assert MAIL not in everything(journal)
