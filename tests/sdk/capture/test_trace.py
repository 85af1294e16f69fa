"""Agents that are not runnables: functions, generators, coroutines, calls recorded by hand."""

import pytest

import burnish
from burnish.journal.events import (
    ModelEnded,
    ModelStarted,
    NodeStarted,
    OutcomeReported,
    RunEnded,
    RunStarted,
    ToolEnded,
    ToolStarted,
)
from burnish.testing import ScriptedChatModel

trace = burnish.trace


def loop(question):
    """An agent in plain Python."""
    with trace.model_call(
        [{"role": "user", "content": question}], model="m", temperature=0.5, tools=TOOLS
    ) as call:
        call.reply(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "look", "arguments": '{"at": 1}'},
                    }
                ],
            },
            usage={"input_tokens": 3, "output_tokens": 2},
            finish_reason="tool_calls",
            token_ids=[1, 2],
        )
    with trace.tool_call("look", {"at": 1}, call_id="c1") as run:
        run.result("seen")
    with trace.model_call([question, "seen"], model="m") as call:
        call.reply("done")
    return "done"


TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def whole(journal, status="completed"):
    assert len({event.trajectory for event in journal.events}) == 1
    assert journal.list_open_spans() == set()
    assert journal.of(RunEnded)[-1].status == status
    return journal.of(RunStarted)[0]


def test_a_function_with_calls_by_hand_is_a_trajectory(journal):
    answer = trace(agent="hand", thread_id="t", tags=["x"])(loop)("what?")

    started = whole(journal)
    assert answer == "done"
    assert (started.agent, started.thread_id, started.tags) == ("hand", "t", ["x"])
    assert journal.value(started.input) == {"question": "what?"}
    assert journal.of(RunEnded)[0].answer == "done"
    first, second = journal.of(ModelStarted)
    assert journal.value(first.request) == {"sampling": {"temperature": 0.5}}
    assert journal.value(first.tools)[0]["name"] == "look"
    ended = journal.of(ModelEnded)[0]
    assert (ended.usage, ended.finish_reason, ended.token_ids) == (
        {"input_tokens": 3, "output_tokens": 2}, "tool_calls", [1, 2],
    )  # fmt: skip
    (part,) = journal.value(ended.reply)["parts"]
    assert part["arguments"] == {"at": 1}
    assert part["raw_arguments"] == '{"at": 1}'
    assert journal.of(ToolStarted)[0].call_id == "c1"
    assert journal.value(journal.of(ToolEnded)[0].result) == {"response": "seen"}
    assert first.parent == second.parent == started.span


async def test_coroutines_and_context_managers_are_recorded(journal):
    @trace(agent="co")
    async def agent(question):
        return loop(question)

    assert await agent("q") == "done"
    async with trace(agent="with") as scope:
        loop("q")
        scope.answer("by hand")

    assert [event.agent for event in journal.of(RunStarted)] == ["co", "with"]
    assert journal.of(RunEnded)[1].answer == "by hand"
    assert scope.trajectory_id == journal.of(RunStarted)[1].trajectory  # also once it is over


def test_generators_stay_generators(journal):
    @trace(agent="gen")
    def agent(question):
        got = yield "first"
        loop(question)
        yield got
        return "end"

    running = agent("q")
    assert next(running) == "first"
    loop("outside of the generator's own steps")
    assert running.send("sent") == "sent"
    with pytest.raises(StopIteration, match="end"):
        next(running)

    whole(journal)
    assert len(journal.of(ModelStarted)) == 2


def test_a_generator_that_is_left_is_abandoned(journal):
    @trace(agent="gen")
    def agent():
        yield 1
        yield 2

    running = agent()
    next(running)
    running.close()

    whole(journal, status="abandoned")


async def test_asynchronous_generators_are_recorded(journal):
    @trace(agent="gen")
    async def agent(question):
        for word in question.split():
            yield word
        loop(question)

    assert [word async for word in agent("a b")] == ["a", "b"]

    whole(journal)
    assert len(journal.of(ModelStarted)) == 2


def test_an_exception_ends_the_trajectory_and_goes_on(journal):
    error = LookupError("gone")

    @trace(agent="bad")
    def agent():
        raise error

    with pytest.raises(LookupError) as raised:
        agent()

    assert raised.value is error
    whole(journal, status="failed")


def test_a_model_call_that_raises_is_an_error_of_the_call(journal):
    with trace(agent="a"):
        for turn in range(2):
            try:
                with trace.model_call(["q"], model="m") as call:
                    if turn == 0:
                        raise ConnectionError("down")  # noqa: TRY301
                    call.reply("up")
            except ConnectionError:
                continue

    whole(journal)
    assert [event.error_type for event in journal.of(ModelEnded)] == ["ConnectionError", None]
    assert [event.attempt for event in journal.of(ModelStarted)] == [1, 2]


def test_runs_of_langchain_inside_belong_to_the_trace(journal):
    model = ScriptedChatModel(script=["yes"])

    with trace(agent="mixed"):
        model.invoke("q")

    started = whole(journal)
    assert journal.of(ModelStarted)[0].parent == started.span


def test_a_trace_inside_another_is_a_part_of_it(journal):
    with trace(agent="outer"), trace(agent="inner"):
        loop("q")

    started = whole(journal)
    assert started.agent == "outer"
    assert {event.speaker for event in journal.of(ModelStarted)} == {"inner"}
    assert journal.of(NodeStarted)[0].name == "inner"


def test_a_wrapped_agent_inside_a_trace_is_a_part_of_it(agents, journal):
    with trace(agent="outer"):
        burnish.wrap(agents.adding_agent(), agent="inner").invoke(agents.ask)

    assert whole(journal).agent == "outer"
    assert len(journal.of(ModelStarted)) == 3


def test_outside_of_a_trace_calls_by_hand_do_nothing(journal):
    assert loop("q") == "done"
    assert journal.events == []


def test_an_unknown_fact_is_refused(journal):
    with trace(agent="a"), trace.model_call(["q"]) as call:
        with pytest.raises(burnish.errors.CaptureError, match="tokens"):
            call.reply("x", tokens=3)
        call.reply("x")


def test_an_outcome_is_an_event_of_its_own(journal):
    burnish.outcome(thread_id="t", success=True, source="crm", evidence={"ticket": 7})

    (event,) = journal.of(OutcomeReported)
    assert (event.thread_id, event.success, event.source, event.scope) == ("t", True, "crm", "last")
    assert journal.value(event.evidence) == {"ticket": 7}


@pytest.mark.parametrize(
    "wrong",
    [
        {"success": True},
        {"thread_id": "t", "trajectory_id": "x", "success": True},
        {"thread_id": "t"},
        {"thread_id": "t", "success": True, "scope": "all"},
    ],
)
def test_an_outcome_that_says_nothing_is_refused(journal, wrong):
    with pytest.raises(burnish.errors.CaptureError):
        burnish.outcome(source="crm", **wrong)


def test_an_outcome_that_cannot_be_kept_is_an_error(journal):
    journal.fail_with = burnish.errors.JournalFull("no room", "room", "burnish doctor")

    with pytest.raises(burnish.errors.JournalFull):
        burnish.outcome(thread_id="t", success=True, source="crm")
