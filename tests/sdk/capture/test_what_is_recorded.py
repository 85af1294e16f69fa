"""What a wrapped agent did stands in the journal: once, complete, in its place."""

import asyncio
import contextvars
import operator
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.func import task as graph_task
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import CachePolicy, Command, RetryPolicy, Send, interrupt

import burnish
from burnish.capture import faults
from burnish.capture.context import current_thread_id, current_trajectory_id, suppress
from burnish.journal.events import (
    ModelEnded,
    ModelStarted,
    NodeEnded,
    NodeStarted,
    RunEnded,
    RunStarted,
    StateRecorded,
    ToolEnded,
    ToolStarted,
)
from burnish.testing import ScriptedChatModel


class State(TypedDict):
    messages: Annotated[list, add_messages]
    notes: Annotated[list, operator.add]


def graph_of(*nodes, **options):
    """Nodes one after the other."""
    builder = StateGraph(State)
    before = START
    for node in nodes:
        builder.add_node(node.__name__, node, **options)
        builder.add_edge(before, node.__name__)
        before = node.__name__
    builder.add_edge(before, END)
    return builder


def asking(*answers, **fields):
    return ScriptedChatModel(script=list(answers), **fields)


EMPTY = {"messages": [("user", "go")], "notes": []}


def whole(journal, models, tools=0, status="completed"):
    """One trajectory with every call, nothing open, no false error."""
    started = journal.of(RunStarted)
    assert len({event.trajectory for event in journal.events}) == 1
    assert len(journal.of(ModelStarted)) == models
    assert len(journal.of(ToolStarted)) == tools
    assert journal.still_open() == set()
    spans = {event.span for event in journal.events if hasattr(event, "parent")}
    parents = {
        event.parent
        for event in journal.events
        if hasattr(event, "parent") and not isinstance(event, RunStarted)
    }
    assert parents <= spans
    assert journal.of(RunEnded)[-1].status == status
    return started[0]


def errors(journal):
    return [
        event.error_type
        for event in journal.events
        if getattr(event, "error_type", None) is not None
    ]


def test_a_tool_loop_is_one_trajectory_with_exact_requests(agents, journal):
    graph = burnish.wrap(agents.adding_agent(), agent="adder", tags=["t"])

    result = graph.invoke(agents.ask, {"configurable": {"thread_id": "th"}, "tags": ["mine"]})

    started = whole(journal, models=3, tools=3)
    assert (started.agent, started.thread_id, started.tags) == ("adder", "th", ["t", "mine"])
    last = journal.of(ModelStarted)[-1]
    texts = [journal.value(ref)["role"] for ref in last.messages]
    assert texts == ["system", "user", "assistant", "tool", "tool", "assistant", "tool"]
    (offered,) = journal.value(last.tools)
    assert offered["name"] == "add"
    assert offered["parameters"]["required"] == ["a", "b"]
    ended = journal.of(RunEnded)[0]
    assert ended.answer == result["messages"][-1].content == "the sum is ten"
    assert errors(journal) == []
    assert ended.losses == {}


def test_tool_runs_carry_arguments_results_and_the_call_they_answer(agents, journal):
    burnish.wrap(agents.adding_agent(), agent="adder").invoke(agents.ask)

    runs = {event.call_id: event for event in journal.of(ToolStarted)}
    results = {event.span: journal.value(event.result) for event in journal.of(ToolEnded)}
    assert set(runs) == {"c1", "c2", "c3"}
    assert journal.value(runs["c3"].arguments) == {"a": 3, "b": 7}
    assert results[runs["c3"].span] == {"response": "10"}
    assert runs["c3"].node == "tools"


def test_a_message_is_stored_once_however_often_it_is_sent(agents, journal):
    burnish.wrap(agents.adding_agent(), agent="adder").invoke(agents.ask)

    first, last = journal.of(ModelStarted)[0], journal.of(ModelStarted)[-1]
    assert last.messages[: len(first.messages)] == first.messages


def test_a_message_that_is_changed_between_calls_is_recorded_as_it_was_each_time(journal):
    message = HumanMessage("go", additional_kwargs={"deep": {"list": [1]}})
    model = asking("a", "b", "c")

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


async def test_async_runs_are_whole(agents, journal):
    await burnish.wrap(agents.adding_agent(), agent="adder").ainvoke(agents.ask)

    whole(journal, models=3, tools=3)


async def test_streams_and_events_are_whole(agents, journal):
    graph = burnish.wrap(agents.adding_agent(), agent="adder")

    [chunk async for chunk in graph.astream_events(agents.ask, version="v2")]

    whole(journal, models=3, tools=3)
    assert journal.of(ModelEnded)[0].first_token_at is not None


def test_each_input_of_a_batch_is_a_trajectory(agents, journal):
    burnish.wrap(agents.adding_agent(), agent="adder").batch([agents.ask] * 3)

    assert len({event.trajectory for event in journal.of(RunStarted)}) == 3
    assert len(journal.of(ToolStarted)) == 9
    assert journal.still_open() == set()


def test_two_agents_are_two_trajectories(agents, journal):
    burnish.wrap(agents.adding_agent(), agent="one").invoke(agents.ask)
    burnish.wrap(agents.adding_agent(), agent="two").invoke(agents.ask)

    assert [event.agent for event in journal.of(RunStarted)] == ["one", "two"]


def test_a_nested_wrapped_agent_is_a_part_of_the_outer_trajectory(agents, journal):
    inner = burnish.wrap(agents.adding_agent(), agent="inner")

    def node(state):
        return {"messages": inner.invoke(agents.ask)["messages"][-1:]}

    burnish.wrap(graph_of(node).compile(), agent="outer").invoke(EMPTY)

    started = whole(journal, models=3, tools=3)
    assert started.agent == "outer"
    assert {event.speaker for event in journal.of(ModelStarted)} == {"inner"}


async def test_an_agent_inside_a_tool_is_a_part_of_the_trajectory(journal):
    helper = create_agent(asking("helped", repeat=True), [], name="helper")

    @tool
    async def ask_helper(question: str) -> str:
        """Ask."""
        answer = await helper.ainvoke({"messages": [("user", question)]})
        return answer["messages"][-1].content

    call = AIMessage("", tool_calls=[{"name": "ask_helper", "args": {"question": "q"}, "id": "c"}])
    graph = create_agent(asking(call, "done"), [ask_helper], name="boss")

    await burnish.wrap(graph, agent="boss").ainvoke({"messages": [("user", "go")]})

    whole(journal, models=3, tools=1)
    assert [event.speaker for event in journal.of(ModelStarted)] == ["boss", "helper", "boss"]


def test_sub_graphs_keep_their_parents(journal):
    def inner(state):
        return {"messages": [asking("inner").invoke(state["messages"])]}

    sub = graph_of(inner).compile(name="sub")
    builder = StateGraph(State)
    builder.add_node("outer", sub)
    builder.add_edge(START, "outer")

    burnish.wrap(builder.compile(), agent="nest").invoke(EMPTY)

    whole(journal, models=1)
    names = {event.span: event.name for event in journal.of(NodeStarted)}
    chain, parent = [], journal.of(ModelStarted)[0].parent
    by_span = {event.span: event for event in journal.of(NodeStarted)}
    while parent in by_span:
        chain.append(names[parent])
        parent = by_span[parent].parent
    assert chain == ["inner", "sub", "outer"]
    assert journal.of(ModelStarted)[0].speaker == "sub"


async def test_gathered_calls_belong_to_their_node(journal):
    async def node(state):
        model = asking(*"abc")
        await asyncio.gather(*(model.ainvoke([HumanMessage(str(n))]) for n in range(3)))
        return {"notes": ["done"]}

    await burnish.wrap(graph_of(node).compile(), agent="g").ainvoke(EMPTY)

    whole(journal, models=3)


def test_map_reduce_with_send_is_whole(journal):
    def spread(state):
        return [Send("work", {"messages": [], "notes": [n]}) for n in range(5)]

    def work(state):
        asking("x").invoke([HumanMessage(str(state["notes"][0]))])
        return {"notes": ["done"]}

    builder = StateGraph(State)
    builder.add_node("work", work)
    builder.add_conditional_edges(START, spread, ["work"])

    burnish.wrap(builder.compile(), agent="map").invoke(EMPTY)

    whole(journal, models=5)
    assert len(journal.of(NodeStarted)) == 5
    assert {event.attempt for event in journal.of(NodeStarted)} == {1}


def test_a_hand_off_is_no_error_and_keeps_who_spoke(journal):
    def first(state):
        asking("to second").invoke(state["messages"])
        return Command(goto="second", graph=Command.PARENT)

    def second(state):
        return {"messages": [asking("done").invoke(state["messages"])]}

    builder = StateGraph(State)
    builder.add_node("first", graph_of(first).compile(name="first_agent"), destinations=("second",))
    builder.add_node("second", second)
    builder.add_edge(START, "first")

    burnish.wrap(builder.compile(), agent="team").invoke(EMPTY)

    whole(journal, models=2)
    assert errors(journal) == []
    assert "ParentCommand" in {event.bubbled for event in journal.of(NodeEnded)}
    assert [event.speaker for event in journal.of(ModelStarted)] == ["first_agent", "team"]


def test_the_functional_api_is_whole(journal):
    @graph_task
    def ask(question):
        return asking("answer").invoke(question).content

    @entrypoint()
    def flow(question):
        futures = [ask(question), ask(question)]
        return [future.result() for future in futures]

    burnish.wrap(flow, agent="flow").invoke("q")

    whole(journal, models=2)


def test_a_node_retry_shows_the_failed_attempt(journal):
    model = asking(ConnectionError("down"), "up")

    def node(state):
        return {"messages": [model.invoke(state["messages"])]}

    builder = graph_of(node, retry_policy=RetryPolicy(initial_interval=0.001, jitter=False))
    burnish.wrap(builder.compile(), agent="retry").invoke(EMPTY)

    whole(journal, models=2)
    assert [event.attempt for event in journal.of(NodeStarted)] == [1, 2]
    assert [event.attempt for event in journal.of(ModelStarted)] == [1, 2]
    assert [event.error_type for event in journal.of(ModelEnded)] == ["ConnectionError", None]
    assert journal.of(RunEnded)[0].status == "completed"


def test_model_retries_are_numbered(journal):
    model = asking(ConnectionError("down"), "up").with_retry(
        wait_exponential_jitter=False, stop_after_attempt=2
    )

    def node(state):
        return {"messages": [model.invoke(state["messages"])]}

    burnish.wrap(graph_of(node).compile(), agent="retry").invoke(EMPTY)

    whole(journal, models=2)
    assert [event.attempt for event in journal.of(ModelStarted)] == [1, 2]


def test_fallbacks_show_both_models(journal):
    model = asking(ConnectionError("down"), model="big").with_fallbacks(
        [asking("up", model="small")]
    )

    def node(state):
        return {"messages": [model.invoke(state["messages"])]}

    burnish.wrap(graph_of(node).compile(), agent="fall").invoke(EMPTY)

    whole(journal, models=2)
    assert [event.model for event in journal.of(ModelStarted)] == ["big", "small"]


def test_raw_threads_of_a_pool_keep_the_trajectory(journal):
    model = asking("a", "b")

    @tool
    def many(question: str) -> str:
        """Ask twice at once."""
        with ThreadPoolExecutor(2) as pool:
            return " ".join(pool.map(lambda text: model.invoke(text).text, [question, question]))

    call = AIMessage("", tool_calls=[{"name": "many", "args": {"question": "q"}, "id": "c"}])
    graph = create_agent(asking(call, "done"), [many])

    burnish.wrap(graph, agent="pool").invoke({"messages": [("user", "go")]})

    whole(journal, models=4, tools=1)
    inside = [e for e in journal.of(ModelStarted) if e.parent == journal.of(ToolStarted)[0].span]
    assert len(inside) == 2


async def test_run_in_executor_keeps_the_trajectory(journal):
    model = asking("a")

    async def node(state):
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, model.invoke, "q")
        return {"notes": ["x"]}

    await burnish.wrap(graph_of(node).compile(), agent="pool").ainvoke(EMPTY)

    whole(journal, models=1)


def test_pools_outside_of_recorded_runs_get_no_context(agents, journal):
    burnish.wrap(agents.adding_agent(), agent="adder").invoke(agents.ask)
    variable = contextvars.ContextVar("mine", default="unset")
    variable.set("set")

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(variable.get).result() == "unset"


async def test_an_abandoned_async_stream_is_closed_and_keeps_what_was_said(journal):
    model = asking("one two three four")

    async def node(state):
        text = [chunk.text async for chunk in model.astream("q")]
        return {"notes": text}

    graph = burnish.wrap(graph_of(node).compile(), agent="left")
    stream = graph.astream(EMPTY, stream_mode="messages")
    async for _ in stream:
        break
    await stream.aclose()

    whole(journal, models=1, status="abandoned")


def test_an_abandoned_stream_is_closed(agents, journal):
    stream = burnish.wrap(agents.adding_agent(), agent="left").stream(agents.ask)
    next(stream)
    stream.close()

    assert journal.of(RunEnded)[0].status == "abandoned"
    assert journal.still_open() == set()


async def test_a_task_cancelled_in_the_middle_of_a_model_call_is_closed(journal):
    asked = asyncio.Event()

    async def never(messages):
        asked.set()
        await asyncio.Event().wait()

    model = asking(never)

    async def node(state):
        await model.ainvoke("q")

    running = asyncio.create_task(
        burnish.wrap(graph_of(node).compile(), agent="cancelled").ainvoke(EMPTY)
    )
    await asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    whole(journal, models=1, status="cancelled")
    assert journal.of(ModelEnded)[0].cut


async def test_a_time_out_inside_a_tool_closes_the_call_that_it_cut(journal):
    async def never(messages):
        await asyncio.Event().wait()

    slow = asking(never)

    @tool
    async def impatient(question: str) -> str:
        """Ask, but not for long."""
        try:
            await asyncio.wait_for(slow.ainvoke(question), 0.01)
        except TimeoutError:
            return "too slow"
        return "fast"

    call = AIMessage("", tool_calls=[{"name": "impatient", "args": {"question": "q"}, "id": "c"}])
    graph = create_agent(asking(call, "done"), [impatient])

    await burnish.wrap(graph, agent="late").ainvoke({"messages": [("user", "go")]})

    whole(journal, models=3, tools=1)
    assert [event.cut for event in journal.of(ModelEnded)].count(True) == 1


def test_a_failed_run_says_what_failed(journal):
    def node(state):
        raise LookupError("no such order")

    with pytest.raises(LookupError):
        burnish.wrap(graph_of(node).compile(), agent="bad").invoke(EMPTY)

    ended = journal.of(RunEnded)[0]
    assert (ended.status, ended.error_type, ended.error) == (
        "failed", "LookupError", "no such order",
    )  # fmt: skip
    assert journal.still_open() == set()


def test_a_tool_that_raises_is_an_error_of_the_tool(agents, journal):
    from langchain.agents.middleware import wrap_tool_call
    from langchain_core.messages import ToolMessage

    @wrap_tool_call
    def caught(request, handler):
        try:
            return handler(request)
        except ValueError as error:
            return ToolMessage(str(error), tool_call_id=request.tool_call["id"], status="error")

    call = agents.call("fail", {"reason": "broken"}, "c1")
    graph = create_agent(asking(call, "sorry"), [agents.tools["fail"]], middleware=[caught])

    burnish.wrap(graph, agent="tools").invoke({"messages": [("user", "go")]})

    whole(journal, models=2, tools=1)
    ended = journal.of(ToolEnded)[0]
    assert (ended.is_error, ended.error_type, ended.error) == (True, "ValueError", "broken")


def paused(saver, model):
    def ask(state):
        model.invoke("before")
        answer = interrupt("who?")
        return {"notes": [answer]}

    def tell(state):
        return {"messages": [model.invoke("after")]}

    return graph_of(ask, tell).compile(checkpointer=saver)


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke"])
async def test_interrupt_and_resume_are_one_trajectory(journal, way):
    graph = burnish.wrap(paused(InMemorySaver(), asking(*"abc")), agent="asker")
    config = {"configurable": {"thread_id": "t"}}

    async def go(value):
        if way == "ainvoke":
            return await graph.ainvoke(value, config)
        return graph.invoke(value, config) if way == "invoke" else list(graph.stream(value, config))

    await go(EMPTY)
    await go(Command(resume="me"))

    whole(journal, models=3)
    assert [event.status for event in journal.of(RunEnded)] == ["interrupted", "completed"]
    assert [event.resumed for event in journal.of(RunStarted)] == [False, True]
    assert journal.of(RunEnded)[0].interrupts
    assert errors(journal) == []


def test_a_new_question_on_the_same_thread_is_a_new_trajectory(agents, journal):
    graph = burnish.wrap(agents.adding_agent(checkpointer=InMemorySaver()), agent="adder")
    config = {"configurable": {"thread_id": "t"}}

    graph.invoke(agents.ask, config)
    graph.invoke(agents.ask, config)

    first, second = journal.of(RunStarted)
    assert first.trajectory != second.trajectory
    assert first.thread_id == second.thread_id == "t"


def test_time_travel_goes_on_with_the_trajectory_it_returns_to(agents, journal):
    graph = burnish.wrap(agents.adding_agent(checkpointer=InMemorySaver()), agent="adder")
    config = {"configurable": {"thread_id": "t"}}
    graph.invoke(agents.ask, config)
    earlier = [state for state in graph.get_state_history(config) if state.next == ("model",)][-1]

    graph.invoke(None, earlier.config)

    first, second = journal.of(RunStarted)
    assert first.trajectory == second.trajectory
    assert second.resumed


def test_a_node_cache_hit_makes_no_call(journal):
    from langgraph.cache.memory import InMemoryCache

    model = asking("once")

    def node(state):
        return {"messages": [model.invoke("q")]}

    graph = graph_of(node, cache_policy=CachePolicy(key_func=lambda state: b"same")).compile(
        cache=InMemoryCache()
    )
    wrapped = burnish.wrap(graph, agent="cached")

    wrapped.invoke(EMPTY)
    wrapped.invoke(EMPTY)

    assert len(journal.of(ModelStarted)) == 1
    assert [event.status for event in journal.of(RunEnded)] == ["completed"] * 2


def test_an_answer_from_the_model_cache_is_marked_as_not_sampled(journal):
    from langchain_core.caches import InMemoryCache

    model = ScriptedChatModel(script=["once"], cache=InMemoryCache())

    def node(state):
        model.invoke("q")
        return {"messages": [model.invoke("q")]}

    burnish.wrap(graph_of(node).compile(), agent="cached").invoke(EMPTY)

    assert [event.sampled for event in journal.of(ModelEnded)] == [True, False]


def test_nothing_is_recorded_under_suppress(agents, journal):
    graph = burnish.wrap(agents.adding_agent(), agent="adder")

    with suppress():
        graph.invoke(agents.ask)

    assert journal.events == []


def test_a_judge_inside_a_run_records_nothing_under_suppress(journal):
    def node(state):
        with suppress():
            asking("judged").invoke("q")
        return {"messages": [asking("said").invoke("q")]}

    burnish.wrap(graph_of(node).compile(), agent="judged").invoke(EMPTY)

    whole(journal, models=1)


def test_runs_that_nobody_wrapped_are_counted_and_not_recorded(agents, journal):
    burnish.wrap(agents.adding_agent(), agent="adder")  # the handler is there from now on

    asking("x").invoke("q")

    assert journal.events == []
    assert faults.counts()["ignored_runs"] >= 1


def test_all_runs_are_recorded_where_the_setting_asks_for_it(agents, journal):
    burnish.wrap(agents.adding_agent(), agent="adder")
    burnish.configure(capture="all")
    try:
        asking("x").invoke("q")
        agents.adding_agent().invoke(agents.ask)
    finally:
        burnish.configure(capture="wrapped")

    assert len(journal.of(RunStarted)) == 2
    assert len(journal.of(ModelStarted)) == 4
    assert journal.still_open() == set()


def test_capture_can_be_switched_off(agents, journal):
    burnish.configure(capture="off")
    try:
        burnish.wrap(agents.adding_agent(), agent="adder").invoke(agents.ask)
    finally:
        burnish.configure(capture="wrapped")

    assert journal.events == []


class World:
    def __init__(self):
        self.value = 1

    def state(self):
        return {"value": self.value}


def test_a_task_names_the_runs_inside_it_and_records_the_state_of_its_world(journal):
    world = World()

    def node(state):
        world.value = 2
        return {"notes": ["x"]}

    graph = burnish.wrap(graph_of(node).compile(), agent="worker")

    with burnish.task(
        id="k1", user="u", attempt=2, source="rollout", environment=world, explore=True
    ) as scope:
        graph.invoke(EMPTY)

    (started,) = journal.of(RunStarted)
    assert (started.task_id, started.user, started.attempt, started.source, started.mode) == (
        "k1", "u", 2, "rollout", "explore",
    )  # fmt: skip
    assert started.environment == "World"
    assert scope.trajectory_ids == [started.trajectory]
    (state,) = journal.of(StateRecorded)
    assert journal.value(state.state) == {"value": 2}
    assert journal.events.index(state) < journal.events.index(journal.of(RunEnded)[0])


def test_a_world_that_cannot_tell_its_state_is_a_counted_loss(journal):
    class Broken:
        def state(self):
            raise OSError("gone")

    def node(state):
        return {"notes": ["x"]}

    with burnish.task(environment=Broken()):
        burnish.wrap(graph_of(node).compile(), agent="worker").invoke(EMPTY)

    assert journal.of(RunEnded)[0].losses == {"state_not_recorded": 1}


@pytest.mark.parametrize(
    "wrong", [{"attempt": 0}, {"source": "dream"}, {"explore": True, "source": "production"}]
)
def test_a_task_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(burnish.errors.CaptureError):
        burnish.task(**wrong)


def test_where_we_are_is_known_inside_and_not_outside(journal):
    seen = []

    def node(state):
        seen.append((current_trajectory_id(), current_thread_id()))
        return {"notes": ["x"]}

    graph = burnish.wrap(graph_of(node).compile(), agent="here")
    graph.invoke(EMPTY, {"configurable": {"thread_id": 7}})

    assert seen == [(journal.of(RunStarted)[0].trajectory, "7")]
    assert (current_trajectory_id(), current_thread_id()) == (None, None)


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
    from burnish.capture.live import registry

    burnish.wrap(agents.adding_agent(), agent="adder").invoke(agents.ask)

    assert registry.runs == {}
    assert registry.expected == {}
    assert registry.active == 0
