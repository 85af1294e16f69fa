"""Interrupts and resumes, time travel, edited states, and answers that come from a cache."""

from __future__ import annotations

import asyncio

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.func import task as graph_task
from langgraph.graph import START, StateGraph
from langgraph.types import CachePolicy, Command, interrupt

from scenarios.agents import ASK, EMPTY, GO, State, call, graph_of, witnessed_adder
from scenarios.playing import scenario

THREAD = {"configurable": {"thread_id": "t"}}
PAUSED = ("interrupted", "completed")
CALLS = {"ask/[scripted]": 2, "tell/[scripted]": 1}
RESUME = Command(resume="me")


def _paused(play, **options):
    model = play.model("same", repeat=True)

    def ask(state):
        model.invoke("before")
        return {"notes": [interrupt("who?")]}

    def tell(state):
        return {"messages": [model.invoke("after")]}

    return play.wrap(graph_of(ask, tell).compile(checkpointer=InMemorySaver(), **options))


@scenario(CALLS, statuses=PAUSED)
def interrupt_and_resume(play):
    graph = _paused(play)
    return graph.invoke(EMPTY, THREAD), graph.invoke(RESUME, THREAD)


@scenario(CALLS, statuses=PAUSED)
def interrupt_and_resume_with_no(play):
    graph = _paused(play)
    return graph.invoke(EMPTY, THREAD), graph.invoke(Command(resume=False), THREAD)


@scenario(CALLS, statuses=PAUSED)
def interrupt_and_resume_streamed(play):
    graph = _paused(play)
    return list(graph.stream(EMPTY, THREAD)), list(graph.stream(RESUME, THREAD))


@scenario(CALLS, statuses=PAUSED)
async def interrupt_and_resume_async(play):
    graph = _paused(play)
    return await graph.ainvoke(EMPTY, THREAD), await graph.ainvoke(RESUME, THREAD)


@scenario(CALLS, statuses=PAUSED)
async def interrupt_and_resume_with_events_v3(play):
    graph = _paused(play)
    first = await graph.astream_events(EMPTY, THREAD, version="v3")
    await first.output()
    second = await graph.astream_events(RESUME, THREAD, version="v3")
    return await second.output()


@scenario(CALLS, statuses=PAUSED)
def interrupt_and_resume_where_only_the_end_is_saved(play):
    graph = _paused(play)
    first = graph.invoke(EMPTY, THREAD, durability="exit")
    return first, graph.invoke(RESUME, THREAD, durability="exit")


@scenario({"ask/[scripted]": 1, "tell/[scripted]": 1}, statuses=("completed", "completed"))
def a_stop_before_a_node(play):
    model = play.model("same", repeat=True)

    def ask(state):
        return {"messages": [model.invoke("before")]}

    def tell(state):
        return {"messages": [model.invoke("after")]}

    graph = graph_of(ask, tell).compile(checkpointer=InMemorySaver(), interrupt_before=["tell"])
    graph = play.wrap(graph)
    return graph.invoke(EMPTY, THREAD), graph.invoke(None, THREAD)


@scenario({"ask/[scripted]": 3, "tell/[scripted]": 1},
          statuses=("interrupted", "interrupted", "completed"))  # fmt: skip
def two_questions_in_one_node(play):
    model = play.model("same", repeat=True)

    def ask(state):
        model.invoke("before")
        return {"notes": [interrupt("who?"), interrupt("when?")]}

    def tell(state):
        return {"messages": [model.invoke("after")]}

    graph = play.wrap(graph_of(ask, tell).compile(checkpointer=InMemorySaver()))
    return [graph.invoke(given, THREAD) for given in (EMPTY, RESUME, RESUME)]


@scenario({"outer/sub/inner/[scripted]": 2}, statuses=PAUSED)
async def an_interrupt_in_a_sub_graph(play):
    model = play.model("same", repeat=True)

    def inner(state):
        model.invoke("before")
        return {"notes": [interrupt("who?")]}

    builder = StateGraph(State)
    builder.add_node("outer", graph_of(inner).compile(name="sub"))
    builder.add_edge(START, "outer")
    graph = play.wrap(builder.compile(checkpointer=InMemorySaver()))
    return await graph.ainvoke(EMPTY, THREAD), await graph.ainvoke(RESUME, THREAD)


@scenario({"model/[scripted]": 2, "tools/ask()": 2}, statuses=PAUSED)
def an_interrupt_in_a_tool(play):
    def ask(question: str) -> str:
        return interrupt(question)

    model = play.model(call("ask", {"question": "q"}), "done")
    graph = create_agent(model, [play.tool(ask)], checkpointer=InMemorySaver())
    graph = play.wrap(graph)
    return graph.invoke(GO, THREAD), graph.invoke(RESUME, THREAD)


@scenario({"model/[scripted]": 2, "tools/send()": 1}, statuses=PAUSED)
def a_person_approves_a_tool_call(play):
    def send(to: str) -> str:
        return "sent"

    graph = create_agent(
        play.model(call("send", {"to": "ann"}), "done"),
        [play.tool(send)],
        middleware=[HumanInTheLoopMiddleware(interrupt_on={"send": True})],
        checkpointer=InMemorySaver(),
    )
    graph = play.wrap(graph)
    yes = Command(resume={"decisions": [{"type": "approve"}]})
    return graph.invoke(GO, THREAD), graph.invoke(yes, THREAD)


@scenario({"flow/ask/[scripted]": 1, "flow/[scripted]": 2}, statuses=PAUSED)
async def the_functional_api_interrupted(play):
    model = play.model("same", repeat=True)

    @graph_task
    async def ask(question):
        return (await model.ainvoke(question)).text

    @entrypoint(checkpointer=InMemorySaver())
    async def flow(question):
        said = await ask(question)
        await model.ainvoke("between")
        return [said, interrupt("who?")]

    graph = play.wrap(flow)
    return await graph.ainvoke("q", THREAD), await graph.ainvoke(RESUME, THREAD)


@scenario({"model/[scripted]": 6, "tools/add()": 6}, statuses=("completed",) * 2, trajectories=2)
def a_new_question_on_the_same_thread(play):
    graph = play.wrap(witnessed_adder(play, checkpointer=InMemorySaver()))
    return graph.invoke(ASK, THREAD), graph.invoke(ASK, THREAD)


@scenario({"model/[scripted]": 6, "tools/add()": 6}, statuses=("completed",) * 2)
def time_travel(play):
    graph = play.wrap(witnessed_adder(play, checkpointer=InMemorySaver()))
    first = graph.invoke(ASK, THREAD)
    earlier = [state for state in graph.get_state_history(THREAD) if state.next == ("model",)][-1]
    return first, graph.invoke(None, earlier.config)


@scenario({"model/[scripted]": 4, "tools/add()": 3}, statuses=("completed",) * 2)
def time_travel_with_an_edited_state(play):
    graph = play.wrap(witnessed_adder(play, checkpointer=InMemorySaver()))
    graph.invoke(ASK, THREAD)
    late = next(state for state in graph.get_state_history(THREAD) if state.next == ("model",))
    edited = graph.update_state(
        late.config, {"messages": [HumanMessage("be short", id="h")]}, "tools"
    )
    return graph.invoke(None, edited)


@scenario({"ask/[scripted]": 1, "tell/[scripted]": 1}, statuses=PAUSED)
async def a_person_edits_the_state_instead_of_answering(play):
    graph = _paused(play)
    await graph.ainvoke(EMPTY, THREAD)
    await graph.aupdate_state(THREAD, {"notes": ["edited"]}, as_node="ask")
    return await graph.ainvoke(None, THREAD)


@scenario({"node/[scripted]": 1}, statuses=("completed",) * 2, trajectories=2)
def a_hit_in_the_cache_of_a_node(play):
    from langgraph.cache.memory import InMemoryCache

    model = play.model("once")

    def node(state):
        return {"messages": [model.invoke("q")]}

    policy = CachePolicy(key_func=lambda state: b"same")
    graph = play.wrap(graph_of(node, cache_policy=policy).compile(cache=InMemoryCache()))
    return graph.invoke(EMPTY), graph.invoke(EMPTY)


@scenario({"node/[scripted]": 2}, cached=1)
def a_hit_in_the_cache_of_a_model(play):
    from langchain_core.caches import InMemoryCache

    model = play.model("once", cache=InMemoryCache())

    def node(state):
        return {"messages": [model.invoke("q"), model.invoke("q")]}

    return play.wrap(graph_of(node).compile()).invoke(EMPTY)


@scenario({"node/[scripted]": 2}, cached=1)
def a_hit_in_the_cache_of_a_model_async(play):
    from langchain_core.caches import InMemoryCache

    model = play.model("once", cache=InMemoryCache())

    async def node(state):
        return {"messages": [await model.ainvoke("q"), await model.ainvoke("q")]}

    return asyncio.run(play.wrap(graph_of(node).compile()).ainvoke(EMPTY))
