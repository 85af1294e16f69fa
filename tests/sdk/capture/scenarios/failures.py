"""Scenarios of failures: retried, abandoned, cancelled, or final."""

from __future__ import annotations

import asyncio
import contextlib

from langchain.agents import create_agent
from langchain.agents.middleware import (
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
    ToolRetryMiddleware,
    wrap_tool_call,
)
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.types import RetryPolicy

from scenarios.agents import ASK, EMPTY, GO, call, graph_of, witnessed_adder
from scenarios.playing import scenario

DOWN = ConnectionError("down")
LEFT = ("node/[scripted]: CancelledError", "node: CancelledError")


def _asking(model):
    def node(state):
        return {"messages": [model.invoke(state["messages"])]}

    return node


@scenario(
    {"node/[scripted]": 2},
    errors=("node: ConnectionError", "node/[scripted]: ConnectionError"),
)
def a_node_that_is_tried_again(play):
    policy = RetryPolicy(initial_interval=0.001, jitter=False)
    node = _asking(play.model(DOWN, "up"))
    return play.wrap(graph_of(node, retry_policy=policy).compile()).invoke(EMPTY)


@scenario({"node/Witness/[scripted]": 2}, errors=("node/Witness/[scripted]: ConnectionError",))
def a_model_that_is_tried_again(play):
    model = play.model(DOWN, "up").with_retry(wait_exponential_jitter=False, stop_after_attempt=2)
    return play.wrap(graph_of(_asking(model)).compile()).invoke(EMPTY)


@scenario({"node/[big]": 1, "node/[small]": 1}, errors=("node/[big]: ConnectionError",))
def a_model_with_a_fallback(play):
    model = play.model(DOWN, model="big").with_fallbacks([play.model("up", model="small")])
    return play.wrap(graph_of(_asking(model)).compile()).invoke(EMPTY)


@scenario({"model/[scripted]": 2}, errors=("model/[scripted]: ConnectionError",))
def middleware_that_tries_the_model_again(play):
    again = ModelRetryMiddleware(max_retries=1, initial_delay=0.001, jitter=False)
    graph = create_agent(play.model(DOWN, "up"), [], middleware=[again])
    return play.wrap(graph).invoke(GO)


@scenario({"model/[big]": 1, "model/[small]": 1}, errors=("model/[big]: ConnectionError",))
async def middleware_that_falls_back(play):
    instead = ModelFallbackMiddleware(play.model("up", model="small"))
    graph = create_agent(play.model(DOWN, model="big"), [], middleware=[instead])
    return await play.wrap(graph).ainvoke(GO)


@scenario(
    {"model/[scripted]": 2, "tools/shaky()": 2},
    errors=("tools/shaky(): ConnectionError",),
)
def middleware_that_tries_a_tool_again(play):
    seen = []

    def shaky(at: str) -> str:
        seen.append(at)
        if len(seen) == 1:
            raise DOWN
        return "up"

    again = ToolRetryMiddleware(max_retries=1, initial_delay=0.001, jitter=False)
    model = play.model(call("shaky", {"at": "x"}), "done")
    return play.wrap(create_agent(model, [play.tool(shaky)], middleware=[again])).invoke(GO)


@scenario({"SummarizationMiddleware.before_model/Witness/[summary]": 1, "model/[scripted]": 1})
def middleware_that_summarises(play):
    summary = SummarizationMiddleware(
        play.model("they talked", model="summary"), trigger=("messages", 4), keep=("messages", 2)
    )
    graph = create_agent(play.model("done"), [], middleware=[summary])
    talk = [HumanMessage(f"say {number}") for number in range(6)]
    return play.wrap(graph).invoke({"messages": talk})


@scenario({"SummarizationMiddleware.before_model/Witness/[summary]": 1, "model/[scripted]": 1})
async def middleware_that_summarises_async(play):
    summary = SummarizationMiddleware(
        play.model("they talked", model="summary"), trigger=("messages", 4), keep=("messages", 2)
    )
    graph = create_agent(play.model("done"), [], middleware=[summary])
    talk = [HumanMessage(f"say {number}") for number in range(6)]
    return await play.wrap(graph).ainvoke({"messages": talk})


@scenario({"model/[scripted]": 2, "tools/broken()": 1}, errors=("tools/broken(): ValueError",))
def a_tool_that_raises_and_is_caught(play):
    def broken(why: str) -> str:
        raise ValueError(why)

    @wrap_tool_call
    def caught(request, handler):
        try:
            return handler(request)
        except ValueError as error:
            return ToolMessage(str(error), tool_call_id=request.tool_call["id"], status="error")

    model = play.model(call("broken", {"why": "rust"}), "sorry")
    return play.wrap(create_agent(model, [play.tool(broken)], middleware=[caught])).invoke(GO)


@scenario(
    {"model/[scripted]": 1, "tools/broken()": 1},
    statuses=("failed",),
    errors=("agent: ValueError", "tools/broken(): ValueError", "tools: ValueError"),
)
async def a_tool_that_raises(play):
    async def broken(why: str) -> str:
        raise ValueError(why)

    model = play.model(call("broken", {"why": "rust"}))
    return await play.wrap(create_agent(model, [play.tool(broken)])).ainvoke(GO)


@scenario({}, statuses=("failed",), errors=("agent: LookupError", "node: LookupError"))
def a_node_that_raises(play):
    def node(state):
        raise LookupError("no such order")

    return play.wrap(graph_of(node).compile()).invoke(EMPTY)


@scenario(
    {"node/[scripted]": 1},
    statuses=("failed",),
    errors=("agent: ConnectionError", "node/[scripted]: ConnectionError", "node: ConnectionError"),
)
def a_model_that_fails(play):
    return play.wrap(graph_of(_asking(play.model(DOWN))).compile()).invoke(EMPTY)


@scenario({"node/[scripted]": 1}, statuses=("abandoned",), errors=LEFT)
async def an_abandoned_async_stream(play):
    model = play.model("one two three four", endless=True)

    async def node(state):
        return {"notes": [chunk.text async for chunk in model.astream("q")]}

    stream = play.wrap(graph_of(node).compile()).astream(EMPTY, stream_mode="messages")
    chunk = await anext(stream)
    await stream.aclose()
    return chunk


@scenario({"model/[scripted]": 1}, statuses=("abandoned",))
def an_abandoned_stream(play):
    stream = play.wrap(witnessed_adder(play)).stream(ASK)
    first = next(stream)
    stream.close()
    return first


@scenario({"model/[scripted]": 1}, statuses=("abandoned",))
def an_abandoned_stream_of_events_v3(play):
    run = play.wrap(witnessed_adder(play)).stream_events(ASK, version="v3")
    said = next(str(message.text) for message in run.messages)
    run.abort()
    return said


@scenario({"model/[scripted]": 1}, statuses=("cancelled",), errors=("model: CancelledError",))
async def an_abandoned_stream_of_events(play):
    stream = play.wrap(witnessed_adder(play)).astream_events(ASK, version="v2")
    names = []
    async for event in stream:
        names.append(event["event"])
        if event["event"] == "on_chat_model_end":
            break
    await stream.aclose()
    return names


def _never(asked):
    """Return an answer that never arrives, and set `asked` when it is requested."""

    async def never(messages):
        asked()
        await asyncio.Event().wait()

    return never


@scenario({"node/[scripted]": 1}, statuses=("cancelled",), errors=LEFT, cut=1)
async def a_task_cancelled_in_the_middle_of_a_model_call(play):
    asked = asyncio.Event()
    model = play.model(_never(asked.set))

    async def node(state):
        await model.ainvoke("q")

    running = asyncio.create_task(play.wrap(graph_of(node).compile()).ainvoke(EMPTY))
    await asked.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    return running.cancelled()


@scenario({"node/[scripted]": 1}, statuses=("cancelled",), errors=LEFT, cut=1)
async def a_time_out_around_the_agent(play):
    async def node(state):
        await model.ainvoke("q")

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as limit:
            model = play.model(_never(lambda: limit.reschedule(0)))  # once it is asked
            await play.wrap(graph_of(node).compile()).ainvoke(EMPTY)


@scenario({"model/[scripted]": 2, "tools/impatient()": 1, "tools/impatient()/[slow]": 1}, cut=1)
async def a_time_out_inside_a_tool(play):
    async def impatient(question: str) -> str:
        try:
            async with asyncio.timeout(None) as limit:
                slow = play.model(_never(lambda: limit.reschedule(0)), model="slow")
                await slow.ainvoke(question)
        except TimeoutError:
            return "too slow"
        return "fast"

    model = play.model(call("impatient", {"question": "q"}), "done")
    return await play.wrap(create_agent(model, [play.tool(impatient)])).ainvoke(GO)


@scenario(
    {"node/[scripted]": 1}, statuses=("failed",), errors=("agent: TimeoutError", *LEFT), cut=1
)
async def a_step_that_takes_too_long(play):
    model = play.model(_never(lambda: None))

    async def node(state):
        await model.ainvoke("q")

    graph = graph_of(node).compile()
    graph.step_timeout = 0.5
    return await play.wrap(graph).ainvoke(EMPTY)


@scenario(
    {"model/[scripted]": 4, "tools/look()": 3},
    statuses=("failed",),
    errors=("agent: GraphRecursionError",),
)
def an_agent_that_never_ends(play):
    def look(at: str) -> str:
        return "nothing"

    model = play.model(
        lambda messages: AIMessage(
            "", tool_calls=[{"name": "look", "args": {"at": "x"}, "id": f"c{len(messages)}"}]
        ),
        repeat=True,
    )
    return play.wrap(create_agent(model, [play.tool(look)])).invoke(GO, {"recursion_limit": 7})
