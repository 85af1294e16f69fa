"""Scenarios of an agent's own threads and executors."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

from langchain.agents import create_agent

from scenarios.agents import EMPTY, GO, call, graph_of
from scenarios.playing import scenario


def _agent(play, function):
    model = play.model(call(function.__name__, {"question": "q"}), "done")
    return play.wrap(create_agent(model, [play.tool(function)]))


@scenario({"model/[scripted]": 2, "tools/many()": 1, "tools/many()/[inner]": 2})
def a_pool_of_threads_in_a_tool(play):
    inner = play.model("same", repeat=True, model="inner")

    def many(question: str) -> str:
        with ThreadPoolExecutor(2) as pool:
            return " ".join(pool.map(lambda text: inner.invoke(text).text, [question, question]))

    return _agent(play, many).invoke(GO)


@scenario({"model/[scripted]": 2, "tools/many()": 1, "tools/many()/[inner]": 1})
async def run_in_executor_in_a_tool(play):
    inner = play.model("said", model="inner")

    async def many(question: str) -> str:
        loop = asyncio.get_running_loop()
        return (await loop.run_in_executor(None, inner.invoke, question)).text

    return await _agent(play, many).ainvoke(GO)


@scenario({"model/[scripted]": 2, "tools/many()": 1, "tools/many()/[inner]": 1})
async def run_in_a_pool_of_its_own_in_a_tool(play):
    inner = play.model("said", model="inner")

    async def many(question: str) -> str:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            return (await loop.run_in_executor(pool, inner.invoke, question)).text

    return await _agent(play, many).ainvoke(GO)


@scenario({"node/[scripted]": 2})
async def to_thread_in_a_node(play):
    model = play.model("same", repeat=True)

    async def node(state):
        said = await asyncio.gather(*(asyncio.to_thread(model.invoke, "q") for _ in range(2)))
        return {"messages": said}

    return await play.wrap(graph_of(node).compile()).ainvoke(EMPTY)


@scenario({"node/[scripted]": 1})
def a_thread_that_is_given_the_context(play):
    model = play.model("said")

    def node(state):
        said = []
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(lambda: said.append(model.invoke("q")),)
        )
        thread.start()
        thread.join()
        return {"messages": said}

    return play.wrap(graph_of(node).compile()).invoke(EMPTY)


@scenario({"node/[scripted]": 1, "node/[inner]": 1})
def a_sync_node_that_runs_a_loop_of_its_own(play):
    model, inner = play.model("a"), play.model("b", model="inner")

    def node(state):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: asyncio.run(inner.ainvoke("q"))).result()
        return {"messages": [model.invoke("q")]}

    return play.wrap(graph_of(node).compile()).invoke(EMPTY)
