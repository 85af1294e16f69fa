"""No fault inside capture reaches the agent."""

import logging

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool

import burnish
from burnish.capture import faults, run_start
from burnish.capture.content import message_codec as messages
from burnish.capture.content import shared_content
from burnish.capture.langchain import invocation, models, nodes, tools
from burnish.errors import JournalFull
from burnish.journal.events import ModelStarted, RunEnded, ToolStarted
from burnish.testing import ScriptedChatModel, production_faults


def texts(result):
    return [message.content for message in result["messages"]]


class Broken(Exception):
    pass


def broken(*args, **kwargs):
    raise Broken("inside capture")


BREAKABLE = [
    (invocation, "begin"),
    (run_start, "_announce_run"),
    (nodes, "open_run"),
    (models, "open_run"),
    (shared_content.Content, "request"),
    (models, "read_reply"),
    (tools, "open_run"),
    (tools, "_reply_of"),
    (messages, "_encode_fields"),
]


@pytest.mark.parametrize(("module", "name"), BREAKABLE, ids=lambda value: str(value)[-30:])
def test_a_fault_leaves_the_agent_as_it_is(agents, journal, monkeypatch, module, name):
    graph = agents.adding_agent(parallel=False)
    bare = texts(graph.invoke(agents.ask))
    wrapped = burnish.wrap(graph, agent="adder")
    monkeypatch.setattr(module, name, broken)

    with production_faults():
        assert texts(wrapped.invoke(agents.ask)) == bare

    assert any("Broken" in kind for kind in faults.counts())


async def test_a_fault_leaves_async_runs_and_streams_as_they_are(agents, journal, monkeypatch):
    graph = agents.adding_agent(parallel=False)
    bare = texts(await graph.ainvoke(agents.ask))
    wrapped = burnish.wrap(graph, agent="adder")
    monkeypatch.setattr(models, "open_run", broken)

    with production_faults():
        assert texts(await wrapped.ainvoke(agents.ask)) == bare
        states = [state async for state in wrapped.astream(agents.ask, stream_mode="values")]

    assert texts(states[-1]) == bare


def test_a_fault_is_raised_in_tests(agents, journal, monkeypatch):
    wrapped = burnish.wrap(agents.adding_agent(), agent="adder")
    monkeypatch.setattr(models, "open_run", broken)

    with pytest.raises(Broken):
        wrapped.invoke(agents.ask)


def test_a_fault_is_said_once_and_counted_each_time(agents, journal, monkeypatch, caplog):
    wrapped = burnish.wrap(agents.adding_agent(parallel=False), agent="adder")
    monkeypatch.setattr(models, "read_reply", broken)

    with production_faults(), caplog.at_level(logging.WARNING, logger="burnish"):
        wrapped.invoke(agents.ask)

    assert sum("capture failed" in record.message for record in caplog.records) == 1
    assert faults.counts()["on_llm_end: Broken"] == 3


def test_a_fault_in_the_middle_leaves_no_span_open(agents, journal, monkeypatch):
    wrapped = burnish.wrap(agents.adding_agent(parallel=False), agent="adder")
    monkeypatch.setattr(models, "read_reply", broken)

    with production_faults():
        wrapped.invoke(agents.ask)

    assert journal.list_open_spans() == set()
    assert journal.of(RunEnded)[0].losses == {"capture_fault": 3}


def test_a_full_disk_costs_frames_and_not_the_run(agents, journal):
    wrapped = burnish.wrap(agents.adding_agent(parallel=False), agent="adder")
    journal.fail_with = JournalFull("no room", "room", "burnish doctor")

    result = wrapped.invoke(agents.ask)

    assert texts(result)[-1] == "the sum is ten"
    assert faults.counts()["dropped_frames"] > 0


def test_what_was_dropped_is_told_at_the_end_of_the_run(agents, journal):
    def node_model(messages):
        journal.fail_with = OSError(28, "No space left on device")
        return AIMessage("one")

    def healed(messages):
        journal.fail_with = None
        return AIMessage("two")

    model = ScriptedChatModel(script=[node_model, healed])
    from langchain_core.runnables import RunnableLambda

    chain = model | RunnableLambda(lambda message: [message]) | model

    burnish.wrap(chain, agent="full").invoke("q")

    assert journal.of(RunEnded)[0].losses["dropped_frames"] > 0


def test_a_read_only_folder_costs_nothing_but_the_frames(agents, tmp_path):
    home = tmp_path / "file"
    home.write_text("not a folder")
    burnish.configure(home=home / "below")
    try:
        wrapped = burnish.wrap(agents.adding_agent(parallel=False), agent="adder")
        assert texts(wrapped.invoke(agents.ask))[-1] == "the sum is ten"
    finally:
        from burnish import settings

        settings.reset()

    assert faults.counts()["dropped_frames"] > 0


class Opaque:
    def __repr__(self):
        raise RuntimeError("not even that")


def test_an_object_that_is_no_data_is_named_and_counted(journal):
    @tool
    def make(what: str) -> object:
        """Make."""
        return Opaque()

    class Inner:
        pass

    @tool(response_format="content_and_artifact")
    def both(what: str):
        """Make with an artifact."""
        return "text", Inner()

    call = AIMessage("", tool_calls=[{"name": "both", "args": {"what": "x"}, "id": "c"}])
    graph = create_agent(ScriptedChatModel(script=[call, "done"]), [both])

    result = burnish.wrap(graph, agent="odd").invoke({"messages": [("user", "go")]})

    assert result["messages"][-1].content == "done"
    assert journal.of(RunEnded)[0].losses["beside_unserialisable"] >= 1
    assert journal.of(ToolStarted)


def test_a_message_of_many_megabytes_is_kept_whole(journal):
    huge = "x" * 20_000_000
    model = ScriptedChatModel(script=["done"])

    burnish.wrap(model, agent="huge").invoke([HumanMessage(huge)])

    (ref,) = journal.of(ModelStarted)[0].messages
    assert journal.value(ref)["parts"][0]["content"] == huge


def test_data_that_json_cannot_say_is_kept(journal):
    strange = {"big": 2**70, "lone": "\ud800", "nan": float("nan"), "none": None, "deep": [[1]]}
    message = HumanMessage("q", additional_kwargs=strange)

    burnish.wrap(ScriptedChatModel(script=["a"]), agent="odd").invoke([message])

    kept = journal.value(journal.of(ModelStarted)[0].messages[0])["additional_kwargs"]
    assert kept["nan"] != kept["nan"]
    assert {k: v for k, v in kept.items() if k != "nan"} == {
        k: v for k, v in strange.items() if k != "nan"
    }


def test_endless_data_is_cut_and_counted(journal):
    loop = {}
    loop["self"] = loop

    burnish.wrap(ScriptedChatModel(script=["a"]), agent="odd").invoke(
        [HumanMessage("q", additional_kwargs=loop)]
    )

    assert journal.of(RunEnded)[0].losses["beside_too_deep"] >= 1
