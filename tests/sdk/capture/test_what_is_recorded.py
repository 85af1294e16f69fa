"""The journal holds the actions of a wrapped agent: exact, numbered, with speakers and errors.

test_every_scenario.py checks for every scenario that each call is there once and in its place.
"""

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.messages import HumanMessage
from scenarios.agents import EMPTY, graph_of
from scenarios.playing import paths_of

import burnish
from burnish.journal.events import (
    ModelEnded,
    ModelStarted,
    NodeEnded,
    NodeStarted,
    RunEnded,
    RunStarted,
    ToolEnded,
    ToolStarted,
)
from burnish.testing import ScriptedChatModel


def test_a_tool_loop_is_recorded_with_its_exact_requests(agents, journal):
    graph = burnish.wrap(agents.adding_agent(), agent="adder", tags=["t"])

    result = graph.invoke(agents.ask, {"configurable": {"thread_id": "th"}, "tags": ["mine"]})

    (started,) = journal.of(RunStarted)
    assert (started.agent, started.thread_id, started.tags) == ("adder", "th", ["t", "mine"])
    last = journal.of(ModelStarted)[-1]
    texts = [journal.value(ref)["role"] for ref in last.messages]
    assert texts == ["system", "user", "assistant", "tool", "tool", "assistant", "tool"]
    (offered,) = journal.value(last.tools)
    assert offered["name"] == "add"
    assert offered["parameters"]["required"] == ["a", "b"]
    assert journal.of(RunEnded)[0].answer == result["messages"][-1].content == "the sum is ten"


def test_tool_runs_carry_arguments_results_and_the_call_they_answer(recorded):
    journal = recorded("invoke")

    runs = {event.call_id: event for event in journal.of(ToolStarted)}
    results = {event.span: journal.value(event.result) for event in journal.of(ToolEnded)}
    assert set(runs) == {"c1", "c2", "c3"}
    assert journal.value(runs["c3"].arguments) == {"a": 3, "b": 7}
    assert results[runs["c3"].span] == {"response": "10"}
    assert runs["c3"].node == "tools"


def test_a_message_is_stored_once_however_often_it_is_sent(recorded):
    asked = recorded("invoke").of(ModelStarted)

    assert asked[-1].messages[: len(asked[0].messages)] == asked[0].messages


def test_a_message_that_is_changed_between_calls_is_recorded_as_it_was_each_time(journal):
    message = HumanMessage("go", additional_kwargs={"deep": {"list": [1]}})
    model = ScriptedChatModel(script=["a", "b", "c"])

    def node(state):
        model.invoke([message])
        message.additional_kwargs["deep"]["list"].append(True)
        model.invoke([message])
        message.content = "stop"
        return {"messages": [model.invoke([message])]}

    burnish.wrap(graph_of(node).compile(), agent="a").invoke(EMPTY)

    sent = [journal.value(event.messages[0]) for event in journal.of(ModelStarted)]
    assert [message["additional_kwargs"]["deep"]["list"] for message in sent] == [
        [1], [1, True], [1, True],
    ]  # fmt: skip
    assert [message["parts"][0]["content"] for message in sent] == ["go", "go", "stop"]


@pytest.mark.parametrize(
    "name", ["astream_events_v2", "astream_events_v3", "stream_events_v3", "stream_messages"]
)
def test_a_stream_knows_when_its_first_token_came(recorded, name):
    journal = recorded(name)

    for asked, answered in zip(journal.of(ModelStarted), journal.of(ModelEnded), strict=True):
        assert asked.at <= answered.first_token_at <= answered.at


SPEAKERS = {
    "a_hand_off_out_of_a_sub_graph": ["first_agent", "agent"],
    "a_sub_graph_as_a_node": ["sub"],
    "a_supervisor_and_its_team": [
        "supervisor", "researcher", "researcher", "supervisor", "writer", "supervisor",
    ],
    "a_wrapped_agent_inside_a_node": ["inner", "outer"],
    "a_wrapped_agent_inside_a_tool": ["boss", "helper", "boss"],
    "an_agent_inside_a_tool": ["boss", "helper", "boss"],
    "an_agent_inside_an_async_tool": ["boss", "helper", "boss"],
    "peers_that_hand_off_to_each_other": ["alice", "bob", "alice"],
}  # fmt: skip


@pytest.mark.parametrize("name", SPEAKERS)
def test_each_call_says_which_agent_spoke(recorded, name):
    assert [event.speaker for event in recorded(name).of(ModelStarted)] == SPEAKERS[name]


@pytest.mark.parametrize("name", SPEAKERS)
def test_each_tool_run_says_which_agent_asked_for_it(recorded, name):
    journal = recorded(name)
    speakers = {
        call["id"]: asked.speaker
        for asked, answered in zip(journal.of(ModelStarted), journal.of(ModelEnded), strict=False)
        for call in journal.value(answered.reply)["parts"]
        if call["type"] == "tool_call"
    }

    runs = {event.call_id: event.speaker for event in journal.of(ToolStarted)}
    assert all(runs[call_id] == speakers[call_id] for call_id in runs)


@pytest.mark.parametrize(
    "name", ["a_hand_off_out_of_a_sub_graph", "a_supervisor_and_its_team", "interrupt_and_resume"]
)
def test_control_flow_is_named_and_is_no_error(recorded, name):
    journal = recorded(name)

    ended = [*journal.of(NodeEnded), *journal.of(ToolEnded)]
    bubbled = {event.bubbled for event in ended} - {None}
    assert bubbled == {"GraphInterrupt" if "interrupt" in name else "ParentCommand"}
    assert not any(event.error_type for event in ended)
    assert not any(event.is_error for event in journal.of(ToolEnded))


def test_a_node_retry_shows_the_failed_attempt(recorded):
    journal = recorded("a_node_that_is_tried_again")

    assert [event.attempt for event in journal.of(NodeStarted)] == [1, 2]
    assert [event.attempt for event in journal.of(ModelStarted)] == [1, 2]
    assert [event.error_type for event in journal.of(ModelEnded)] == ["ConnectionError", None]
    assert journal.of(RunEnded)[0].status == "completed"


@pytest.mark.parametrize(
    "name", ["a_model_that_is_tried_again", "middleware_that_tries_the_model_again"]
)
def test_model_retries_are_numbered(recorded, name):
    assert [event.attempt for event in recorded(name).of(ModelStarted)] == [1, 2]


def test_tool_retries_are_numbered(recorded):
    journal = recorded("middleware_that_tries_a_tool_again")

    assert [event.attempt for event in journal.of(ToolStarted)] == [1, 2]


@pytest.mark.parametrize("name", ["a_model_with_a_fallback", "middleware_that_falls_back"])
def test_fallbacks_show_both_models(recorded, name):
    assert [event.model for event in recorded(name).of(ModelStarted)] == ["big", "small"]


def test_parallel_branches_are_no_further_attempts(recorded):
    journal = recorded("map_reduce_with_send")

    assert {event.attempt for event in journal.of(NodeStarted)} == {1}


def test_calls_in_threads_belong_to_their_tool(recorded):
    journal = recorded("a_pool_of_threads_in_a_tool")

    (tool,) = journal.of(ToolStarted)
    inside = [event for event in journal.of(ModelStarted) if event.parent == tool.span]
    assert len(inside) == 2


def test_pools_outside_of_recorded_runs_get_no_context(agents, journal):
    burnish.wrap(agents.adding_agent(), agent="adder").invoke(agents.ask)
    variable = contextvars.ContextVar("mine", default="unset")
    variable.set("set")

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(variable.get).result() == "unset"


def test_what_was_said_before_a_stream_was_left_is_kept(recorded):
    journal = recorded("an_abandoned_async_stream")

    (ended,) = journal.of(ModelEnded)
    assert journal.value(ended.extras) == {"partial": "one "}


def test_a_failed_run_says_what_failed(recorded):
    ended = recorded("a_node_that_raises").of(RunEnded)[0]

    assert (ended.status, ended.error_type, ended.error) == (
        "failed", "LookupError", "no such order",
    )  # fmt: skip


def test_a_tool_that_raises_is_an_error_of_the_tool(recorded):
    ended = recorded("a_tool_that_raises_and_is_caught").of(ToolEnded)[0]

    assert (ended.is_error, ended.error_type, ended.error) == (True, "ValueError", "rust")


RESUMED = [
    "a_person_approves_a_tool_call",
    "a_person_edits_the_state_instead_of_answering",
    "an_interrupt_in_a_sub_graph",
    "an_interrupt_in_a_tool",
    "interrupt_and_resume",
    "interrupt_and_resume_async",
    "interrupt_and_resume_streamed",
    "interrupt_and_resume_where_only_the_end_is_saved",
    "interrupt_and_resume_with_events_v3",
    "the_functional_api_interrupted",
]


@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_run_says_so_and_what_it_waited_for(recorded, name):
    journal = recorded(name)

    assert [event.resumed for event in journal.of(RunStarted)] == [False, True]
    assert [bool(event.interrupts) for event in journal.of(RunEnded)] == [True, False]


@pytest.mark.parametrize(
    ("name", "said"), [("interrupt_and_resume", "me"), ("interrupt_and_resume_with_no", False)]
)
def test_what_a_person_answered_is_the_input_of_the_resumed_run(recorded, name, said):
    journal = recorded(name)

    assert journal.value(journal.of(RunStarted)[1].input) == {"resume": said}


@pytest.mark.parametrize("name", ["time_travel", "time_travel_with_an_edited_state"])
def test_time_travel_goes_on_with_the_trajectory_it_returns_to(recorded, name):
    first, second = recorded(name).of(RunStarted)

    assert first.trajectory == second.trajectory
    assert second.resumed


def test_what_a_person_edited_is_in_the_next_request_and_no_reply_of_the_model(recorded):
    journal = recorded("time_travel_with_an_edited_state")

    asked = journal.of(ModelStarted)[-1]
    texts = [journal.value(ref)["parts"][0].get("content") for ref in asked.messages]
    assert texts[-1] == "be short"
    assert "be short" not in str([journal.value(e.reply) for e in journal.of(ModelEnded)])


def test_a_new_question_on_the_same_thread_is_a_new_trajectory(recorded):
    first, second = recorded("a_new_question_on_the_same_thread").of(RunStarted)

    assert first.trajectory != second.trajectory
    assert first.thread_id == second.thread_id == "t"


@pytest.mark.parametrize(
    "name", ["a_hit_in_the_cache_of_a_model", "a_hit_in_the_cache_of_a_model_async"]
)
def test_an_answer_from_the_model_cache_is_marked_as_not_sampled(recorded, name):
    assert [event.sampled for event in recorded(name).of(ModelEnded)] == [True, False]


def test_a_summary_stands_in_the_requests_that_follow(recorded):
    journal = recorded("middleware_that_summarises")

    (summary, answer) = journal.of(ModelStarted)
    assert "say 0" in str([journal.value(ref) for ref in summary.messages])
    sent = str([journal.value(ref) for ref in answer.messages])
    assert "they talked" in sent
    assert "say 0" not in sent


def test_an_unreadable_tool_call_is_kept_as_the_model_wrote_it(recorded):
    journal = recorded("an_invalid_tool_call_beside_a_valid_one")

    reply = journal.value(journal.of(ModelEnded)[0].reply)
    (broken,) = [part for part in reply["parts"] if part["type"] == "invalid_tool_call"]
    assert (broken["arguments"], broken["id"]) == ('{"at": ', "c2")


def test_a_nested_agent_is_named_in_the_path_of_its_calls(recorded):
    journal = recorded("a_sub_graph_called_in_a_node")

    paths = paths_of(journal.events)
    assert {paths[event.span] for event in journal.of(ModelStarted)} == {
        "outer/sub/inner/[scripted]"
    }


def test_a_call_in_a_sub_graph_says_where_in_it_it_stands(recorded):
    journal = recorded("a_sub_graph_as_a_node")
    nodes = {event.span: event for event in journal.of(NodeStarted)}

    for call in journal.of(ModelStarted):
        around = nodes[call.parent]
        assert call.namespace.count("|") == 1
        assert (call.node, call.step, call.namespace) == (
            around.node,
            around.step,
            around.namespace,
        )


def test_what_is_open_when_a_run_fails_is_closed_from_the_inside_out(journal):
    @burnish.trace(agent="outer")
    def leaving_all_open():
        burnish.trace.tool_call("first", {}).open()
        burnish.trace(agent="inner").__enter__()
        burnish.trace.tool_call("second", {}).open()
        raise LookupError("gone")

    with pytest.raises(LookupError):
        contextvars.copy_context().run(leaving_all_open)

    first, inner, second = spans_of(journal, NodeStarted, ToolStarted)
    assert spans_of(journal, NodeEnded, ToolEnded) == [second, inner, first]


def spans_of(journal, *kinds):
    return [event.span for event in journal.events if isinstance(event, kinds)]


def test_concurrent_runs_do_not_mix(agents, journal):
    graph = burnish.wrap(agents.adding_agent(), agent="adder")
    threads = [
        threading.Thread(target=graph.invoke, args=(agents.ask,), name=str(n)) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    ids = {event.trajectory for event in journal.of(RunStarted)}
    assert len(ids) == 8
    for trajectory in ids:
        mine = [event for event in journal.events if event.trajectory == trajectory]
        assert sum(isinstance(event, ModelStarted) for event in mine) == 3
        assert sum(isinstance(event, ToolStarted) for event in mine) == 3


def test_nothing_stays_behind_when_runs_are_over(agents, journal):
    from burnish.capture.recorder.runs import registry

    burnish.wrap(agents.adding_agent(), agent="adder").invoke(agents.ask)

    assert registry.runs == {}
    assert registry.expected == {}
    assert registry.active == 0
