"""Run an agent that asks a person, and continue it in the process that has the answer.

python asker.py SAVER PLACE WAY ACTION

SAVER is memory, sqlite or postgres, PLACE the location of its checkpoints, WAY sync, async, stream
or events, ACTION ask, answer, edit (a person changes the state instead) or go-on.
"""

from __future__ import annotations

import asyncio
import contextlib
import operator
import sys
import warnings
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

import burnish
from burnish.testing import ScriptedChatModel

CONFIG: Any = {"configurable": {"thread_id": "t"}}
INPUTS: Any = {"ask": {"notes": []}, "answer": Command(resume="me"), "go-on": None}


class State(TypedDict):
    notes: Annotated[list, operator.add]


def build(saver: Any) -> Any:
    model = ScriptedChatModel(script=["said"], repeat=True)

    def ask(state: State) -> Any:
        model.invoke("before")
        return {"notes": [interrupt("who?")]}

    def tell(state: State) -> Any:
        model.invoke("after")
        return {"notes": ["told"]}

    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_node("tell", tell)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "tell")
    return burnish.wrap(builder.compile(checkpointer=saver), agent="asker")


def saver_of(kind: str, place: str, *, is_async: bool) -> Any:
    """Return a context manager that gives the checkpointer."""
    if kind == "sqlite":
        from langgraph.checkpoint.sqlite import SqliteSaver
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        return (AsyncSqliteSaver if is_async else SqliteSaver).from_conn_string(place)
    if kind == "postgres":
        from langgraph.checkpoint.postgres import PostgresSaver
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        return (AsyncPostgresSaver if is_async else PostgresSaver).from_conn_string(place)
    from langgraph.checkpoint.memory import InMemorySaver

    return contextlib.nullcontext(InMemorySaver())


def run(kind: str, place: str, way: str, action: str) -> None:
    with saver_of(kind, place, is_async=False) as saver:
        if kind == "postgres":
            saver.setup()
        graph = build(saver)
        if action == "edit":
            graph.update_state(CONFIG, {"notes": ["edited"]}, as_node="ask")
        elif way == "stream":
            list(graph.stream(INPUTS[action], CONFIG))
        else:
            graph.invoke(INPUTS[action], CONFIG)


async def arun(kind: str, place: str, way: str, action: str) -> None:
    async with saver_of(kind, place, is_async=True) as saver:
        await saver.setup()
        graph = build(saver)
        if action == "edit":
            await graph.aupdate_state(CONFIG, {"notes": ["edited"]}, as_node="ask")
        elif way == "events":
            warnings.simplefilter("ignore")  # v3 is called experimental
            stream = await graph.astream_events(INPUTS[action], CONFIG, version="v3")
            await stream.output()
        else:
            await graph.ainvoke(INPUTS[action], CONFIG)


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[2] in ("async", "events"):
        asyncio.run(arun(*given))
    else:
        run(*given)
