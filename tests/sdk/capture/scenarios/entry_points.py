"""Each entry point of one agent gives the same record."""

from __future__ import annotations

import copy

from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableBinding, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver

from scenarios.agents import ASK, EMPTY, graph_of, witnessed_adder
from scenarios.playing import scenario

CALLS = {"model/[scripted]": 3, "tools/add()": 3}
ONE_BY_ONE = {"model/[scripted]": 3, "tools/add()": 2}
MODES = ["values", "updates", "messages", "custom", "tasks", "debug", "checkpoints"]
THREAD = {"configurable": {"thread_id": "t"}}


def times(calls, number):
    return {path: count * number for path, count in calls.items()}


async def collect(stream):
    return [item async for item in stream]


@scenario(CALLS)
def invoke(play):
    return play.wrap(witnessed_adder(play)).invoke(ASK)


@scenario(CALLS)
async def ainvoke(play):
    return await play.wrap(witnessed_adder(play)).ainvoke(ASK)


def _stream(mode, saved):
    def act(play):
        saver = {"checkpointer": InMemorySaver()} if saved else {}
        graph = play.wrap(witnessed_adder(play, parallel=False, **saver))
        return list(graph.stream(ASK, THREAD, stream_mode=mode, subgraphs=True))

    act.__name__ = f"stream_{mode}_saved" if saved else f"stream_{mode}"
    scenario(ONE_BY_ONE)(act)


def _astream(mode):
    async def act(play):
        graph = play.wrap(witnessed_adder(play, parallel=False, checkpointer=InMemorySaver()))
        return await collect(graph.astream(ASK, THREAD, stream_mode=mode))

    act.__name__ = f"astream_{mode}"
    scenario(ONE_BY_ONE)(act)


for _mode in MODES:
    _stream(_mode, saved=False)
    _stream(_mode, saved=True)
    _astream(_mode)


@scenario(ONE_BY_ONE)
def stream_several_modes(play):
    graph = play.wrap(witnessed_adder(play, parallel=False))
    return list(graph.stream(ASK, stream_mode=["values", "updates", "messages", "debug"]))


@scenario(ONE_BY_ONE)
async def astream_events_v1(play):
    graph = play.wrap(witnessed_adder(play, parallel=False))
    return await collect(graph.astream_events(ASK, version="v1"))


@scenario(ONE_BY_ONE)
async def astream_events_v2(play):
    graph = play.wrap(witnessed_adder(play, parallel=False))
    return await collect(graph.astream_events(ASK, version="v2"))


@scenario(ONE_BY_ONE)
def stream_events_v3(play):
    graph = play.wrap(witnessed_adder(play, parallel=False))
    run = graph.stream_events(ASK, version="v3")
    said = [str(message.text) for message in run.messages]
    return said, run.output


@scenario(ONE_BY_ONE)
async def astream_events_v3(play):
    graph = play.wrap(witnessed_adder(play, parallel=False))
    run = await graph.astream_events(ASK, version="v3")
    said = [await message.text async for message in run.messages]
    return said, await run.output()


@scenario(ONE_BY_ONE)
async def astream_log(play):
    graph = play.wrap(witnessed_adder(play, parallel=False))
    return len(await collect(graph.astream_log(ASK)))


@scenario(times(CALLS, 3), statuses=("completed",) * 3, trajectories=3)
def batch(play):
    return play.wrap(witnessed_adder(play)).batch([ASK] * 3)


@scenario(times(CALLS, 3), statuses=("completed",) * 3, trajectories=3)
async def abatch(play):
    return await play.wrap(witnessed_adder(play)).abatch([ASK] * 3)


@scenario(times(CALLS, 2), statuses=("completed",) * 2, trajectories=2)
def batch_as_completed(play):
    graph = play.wrap(witnessed_adder(play))
    return sorted(number for number, _ in graph.batch_as_completed([ASK] * 2))


@scenario(times(CALLS, 2), statuses=("completed",) * 2, trajectories=2)
async def abatch_as_completed(play):
    graph = play.wrap(witnessed_adder(play))
    return sorted([number async for number, _ in graph.abatch_as_completed([ASK] * 2)])


@scenario(CALLS)
def used_before_it_was_wrapped(play):
    graph = witnessed_adder(play)
    if play.wrapped:
        graph.invoke(ASK)  # leaves no frame
        play.asked.clear()
        play.ran.clear()
    return play.wrap(graph).invoke(ASK)


@scenario(CALLS)
def wrapped_twice(play):
    return play.wrap(play.wrap(witnessed_adder(play), "first"), "second").invoke(ASK)


@scenario(times(CALLS, 2), statuses=("completed",) * 2, trajectories=2)
def two_agents_in_one_process(play):
    graph = witnessed_adder(play)
    return play.wrap(graph, "one").invoke(ASK), play.wrap(graph, "two").invoke(ASK)


@scenario(times(CALLS, 2), statuses=("completed",) * 2, trajectories=2)
def configured_and_copied(play):
    graph = play.wrap(witnessed_adder(play))
    return graph.with_config({"tags": ["x"]}).invoke(ASK), copy.copy(graph).invoke(ASK)


def _chain(play):
    prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
    model = play.model("yes", repeat=True)
    return play.wrap(prompt | model | RunnableLambda(lambda message: message.text.upper()))


QUESTION = {"question": "?"}


@scenario({"[scripted]": 2}, statuses=("completed",) * 2, trajectories=2)
def a_plain_chain(play):
    chain = _chain(play)
    return chain.invoke(QUESTION), list(chain.stream(QUESTION))


@scenario({"[scripted]": 5}, statuses=("completed",) * 5, trajectories=5)
async def a_plain_chain_in_batches(play):
    chain = _chain(play)
    return chain.batch([QUESTION] * 3), await chain.abatch([QUESTION] * 2)


@scenario({"[scripted]": 6}, statuses=("completed",) * 6, trajectories=6)
async def a_bare_chat_model(play):
    model = play.wrap(play.model("yes", repeat=True))
    return [
        model.invoke("?"),
        await model.ainvoke("?"),
        [chunk.text for chunk in model.stream("?")],
        [chunk.text async for chunk in model.astream("?")],
        str(model.stream_events("?", version="v3").text),
        await (await model.astream_events("?", version="v3")).text,
    ]


@scenario({"[scripted]": 3, "node/[scripted]": 1}, statuses=("completed",) * 4, trajectories=4)
async def a_bound_runnable_that_streams_events_v3(play):
    def node(state):
        return {"messages": [model.invoke("q")]}

    model = play.model("yes", repeat=True)
    with_tools = play.wrap(model.bind_tools([witnessed_adder]))
    with_tags = play.wrap(model.with_config(tags=["x"]))
    graph = play.wrap(RunnableBinding(bound=graph_of(node).compile()))
    run = await graph.astream_events(EMPTY, version="v3")
    return [
        str(with_tools.stream_events("?", version="v3").text),
        str(with_tags.stream_events("?", version="v3").text),
        await (await with_tags.astream_events("?", version="v3")).text,
        await run.output(),
    ]


@scenario({"node/[scripted]": 1})
def a_model_that_streams_events_v3_in_a_node(play):
    model = play.model("one two")

    def node(state):
        stream = model.stream_events("q", version="v3")
        return {"notes": ["".join(stream.text)]}

    return play.wrap(graph_of(node).compile()).invoke(EMPTY)
