"""Scenarios of graph shapes: the places of model calls and tools."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.func import entrypoint
from langgraph.func import task as graph_task
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import create_react_agent
from langgraph.types import Command, Send
from pydantic import BaseModel

from scenarios.agents import EMPTY, GO, State, adding_script, call, graph_of
from scenarios.playing import scenario


@scenario({"agent/RunnableSequence/[scripted]": 3, "tools/add()": 3})
async def the_prebuilt_react_agent(play):
    def add(a: int, b: int) -> int:
        return a + b

    model = play.model(*adding_script())
    return await play.wrap(create_react_agent(model, [play.tool(add)])).ainvoke(GO)


@scenario({"first/[scripted]": 1, "second/[scripted]": 2})
def plain_nodes(play):
    model = play.model("a", "b", "c")

    def first(state):
        return {"messages": [model.invoke(state["messages"])]}

    async def second(state):
        one, two = await model.ainvoke("x"), await model.ainvoke(state["messages"])
        return {"messages": [one, two]}

    return asyncio.run(play.wrap(graph_of(first, second).compile()).ainvoke(EMPTY))


@scenario({"ask/[scripted]": 2, "right/[scripted]": 1})
def conditional_edges(play):
    model = play.model("again", "right", "done")

    def ask(state):
        return {"messages": [model.invoke(state["messages"])]}

    def right(state):
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_node("right", right)
    builder.add_edge(START, "ask")
    where = {"again": "ask", "right": "right"}
    builder.add_conditional_edges("ask", lambda state: where[state["messages"][-1].text])
    builder.add_edge("right", END)
    return play.wrap(builder.compile()).invoke(EMPTY)


@scenario({"[scripted]": 1, "work/[scripted]": 1})
def a_model_that_decides_in_a_conditional_edge(play):
    model = play.model("work", "done")

    def work(state):
        return {"messages": [model.invoke("w")]}

    def route(state):
        return model.invoke("where?").text

    builder = StateGraph(State)
    builder.add_node("work", work)
    builder.add_conditional_edges(START, route, ["work"])
    return play.wrap(builder.compile()).invoke(EMPTY)


@scenario({"outer/sub/inner/[scripted]": 1})
def a_sub_graph_as_a_node(play):
    model = play.model("inner")

    def inner(state):
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(State)
    builder.add_node("outer", graph_of(inner).compile(name="sub"))
    builder.add_edge(START, "outer")
    return play.wrap(builder.compile()).invoke(EMPTY)


@scenario({"outer/sub/inner/[scripted]": 2})
async def a_sub_graph_called_in_a_node(play):
    model = play.model("inner", repeat=True)

    def inner(state):
        return {"messages": [model.invoke(state["messages"])]}

    sub = graph_of(inner).compile(name="sub")

    async def outer(state):
        sub.invoke(EMPTY)
        return {"messages": (await sub.ainvoke(EMPTY))["messages"][-1:]}

    return await play.wrap(graph_of(outer).compile()).ainvoke(EMPTY)


@scenario({"node/[scripted]": 3})
async def gathered_calls(play):
    model = play.model("same", repeat=True)

    async def node(state):
        said = await asyncio.gather(*(model.ainvoke([HumanMessage(str(n))]) for n in range(3)))
        return {"notes": [message.text for message in said]}

    return await play.wrap(graph_of(node).compile()).ainvoke(EMPTY)


@scenario({"work/[scripted]": 5})
def map_reduce_with_send(play):
    model = play.model("x", repeat=True)

    def spread(state):
        return [Send("work", {"messages": [], "notes": [n]}) for n in range(5)]

    def work(state):
        model.invoke([HumanMessage(str(state["notes"][0]))])
        return {"notes": ["done"]}

    builder = StateGraph(State)
    builder.add_node("work", work)
    builder.add_conditional_edges(START, spread, ["work"])
    return play.wrap(builder.compile()).invoke(EMPTY)


@scenario({"flow/ask/[scripted]": 2})
def the_functional_api(play):
    model = play.model("answer", repeat=True)

    @graph_task
    def ask(question):
        return model.invoke(question).content

    @entrypoint()
    def flow(question):
        futures = [ask(question), ask(question)]
        return [future.result() for future in futures]

    return play.wrap(flow).invoke("q")


@scenario({"flow/[scripted]": 1, "flow/ask/[scripted]": 2})
async def the_functional_api_async(play):
    model = play.model("answer", repeat=True)

    @graph_task
    async def ask(question):
        return (await model.ainvoke(question)).content

    @entrypoint()
    async def flow(question):
        said = await asyncio.gather(ask(question), ask(question))
        return [*said, (await model.ainvoke("sum up")).content]

    return await play.wrap(flow).ainvoke("q")


def _asking_for_help(play: Any, ask_helper: Any) -> Any:
    script = play.model(call("ask_helper", {"question": "q"}), "done")
    return play.wrap(create_agent(script, [play.tool(ask_helper)], name="boss"))


HELPED = {
    "model/[scripted]": 2,
    "tools/ask_helper()": 1,
    "tools/ask_helper()/helper/model/[scripted]": 1,
}


@scenario(HELPED)
def an_agent_inside_a_tool(play):
    helper = create_agent(play.model("helped"), [], name="helper")

    def ask_helper(question: str) -> str:
        return helper.invoke({"messages": [("user", question)]})["messages"][-1].content

    return _asking_for_help(play, ask_helper).invoke(GO)


@scenario(HELPED)
async def an_agent_inside_an_async_tool(play):
    helper = create_agent(play.model("helped"), [], name="helper")

    async def ask_helper(question: str) -> str:
        answer = await helper.ainvoke({"messages": [("user", question)]})
        return answer["messages"][-1].content

    return await _asking_for_help(play, ask_helper).ainvoke(GO)


@scenario(HELPED)
def a_wrapped_agent_inside_a_tool(play):
    helper = play.wrap(create_agent(play.model("helped"), []), "helper")

    def ask_helper(question: str) -> str:
        chunks = list(helper.stream({"messages": [("user", question)]}, stream_mode="values"))
        return chunks[-1]["messages"][-1].content

    return _asking_for_help(play, ask_helper).invoke(GO)


@scenario({"model/[scripted]": 2, "tools/look()": 1, "tools/look()/look()": 1})
def a_tool_that_calls_a_tool(play):
    def look(depth: int) -> str:
        if depth == 0:
            return "bottom"
        return looking.invoke({"depth": depth - 1})

    looking = play.tool(look)
    model = play.model(call("look", {"depth": 1}), "done")

    return play.wrap(create_agent(model, [looking])).invoke(GO)


@scenario({"model/[scripted]": 2, "tools/note()": 1})
def a_tool_that_answers_with_a_command(play):
    from langchain_core.messages import ToolMessage

    def note(text: str) -> Any:
        return Command(update={"messages": [ToolMessage(text, tool_call_id="c")]})

    model = play.model(call("note", {"text": "x"}), "done")
    return play.wrap(create_agent(model, [play.tool(note)])).invoke(GO)


@scenario({"model/[scripted]": 2, "tools/draw()": 1})
async def images_and_an_artifact(play):
    image = {"type": "image", "base64": "aW1hZ2U=" * 1000, "mime_type": "image/png"}

    async def draw(what: str) -> Any:
        return [{"type": "text", "text": "drawn"}, image], {"pixels": [1, 2.0, None], "at": what}

    tools = [play.tool(draw, response_format="content_and_artifact")]
    graph = play.wrap(create_agent(play.model(call("draw", {"what": "x"}), "done"), tools))
    asked = HumanMessage([{"type": "text", "text": "like this"}, image, image])
    return await graph.ainvoke({"messages": [asked]})


class City(BaseModel):
    """A city."""

    name: str


@scenario({"model/[scripted]": 1})
def structured_output_by_a_tool(play):
    model = play.model(call("City", {"name": "Oslo"}))
    return play.wrap(create_agent(model, [], response_format=City)).invoke(GO)


@scenario({"model/[scripted]": 2, "tools/look()": 1})
def an_invalid_tool_call_beside_a_valid_one(play):
    def look(at: str) -> str:
        return "seen"

    first = AIMessage(
        "",
        tool_calls=[{"name": "look", "args": {"at": "x"}, "id": "c1"}],
        invalid_tool_calls=[{"name": "look", "args": '{"at": ', "id": "c2", "error": "cut"}],
    )
    return play.wrap(create_agent(play.model(first, "done"), [play.tool(look)])).invoke(GO)
