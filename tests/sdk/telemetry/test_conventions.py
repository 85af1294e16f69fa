"""Shipped spans follow the published GenAI conventions, for every kind of content."""

from __future__ import annotations

import json
from typing import Annotated, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langgraph.config import get_store
from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command
from shipped_copies import comparable
from tests.sdk.telemetry.published import ITEMS, PARTS, problems

import burnish
from burnish.capture.recorder.context import suppress
from burnish.telemetry.otlp import codec
from burnish.testing import ScriptedChatModel
from burnish.trajectories import assemble
from burnish.workspace import Workspace


@tool
def find_order(number: int, note: Annotated[str | None, "anything"] = None) -> str:
    """Find an order."""
    return f"order {number}"


@pytest.fixture
def recorded(tmp_path, configured):
    """Run recorded code; return its trajectory and its shipped spans' attributes."""
    configured()

    def run(runnable, given, **config):
        burnish.wrap(runnable, agent="desk").invoke(given, config)
        workspace = Workspace(tmp_path)
        request = codec.encode_request(workspace.spans())
        received = list(codec.OtlpReader().decode_request(request))
        own, back = list(workspace.trajectories()), list(assemble(received))
        assert comparable(own) == comparable(back)
        spans = [dict(codec.to_readable(span).attributes) for span in workspace.spans()]
        return own[-1], spans

    return run


def of(spans, operation):
    return [span for span in spans if span.get("gen_ai.operation.name") == operation]


def checked(spans):
    """Return every content of these spans, decoded and checked against the published form."""
    found = []
    for span in spans:
        for name in ITEMS.keys() & span.keys():
            value = json.loads(span[name])
            assert problems(name, value) == [], (name, value)
            found.append((name, value))
    assert found
    return found


EVERY_BLOCK = [
    "bare text",
    {"type": "text", "text": "a text"},
    {"type": "image", "base64": "aGk=", "mime_type": "image/png"},
    {"type": "image", "url": "https://example.org/a.png"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    {"type": "audio", "base64": "aGk=", "mime_type": "audio/wav"},
    {"type": "video", "url": "https://example.org/a.mp4"},
    {"type": "file", "file_id": "file-7"},
    {"type": "file", "base64": "aGk=", "mime_type": "application/pdf"},
    {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk="}},
    {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
    {"type": "uri", "of": "a provider of its own"},
    {"no": "type"},
]
THOUGHTS = AIMessage(
    [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "reasoning", "reasoning": "so", "id": "r-1"},
        {"type": "server_tool_use", "id": "s-1", "name": "web_search", "input": {}},
        {"type": "text", "text": "I look."},
    ],
    additional_kwargs={"reasoning_content": "aside"},
    tool_calls=[{"name": "find_order", "args": {"number": 2**70}, "id": "c1"}],
    invalid_tool_calls=[{"name": "find_order", "args": "{", "id": "c2", "error": "no JSON"}],
)
ANSWERED = ToolMessage([{"type": "text", "text": "x"}], tool_call_id="c0", artifact={"row": 1})


def test_every_kind_of_content_is_as_published(recorded):
    model = ScriptedChatModel(script=[THOUGHTS])
    bound = model.bind_tools([find_order]).bind(response_format={"type": "json_object"})
    call = AIMessage("", tool_calls=[{"name": "find_order", "args": {}, "id": "c0"}])
    history = [SystemMessage("Help."), HumanMessage(EVERY_BLOCK), call, ANSWERED]

    trajectory, spans = recorded(bound, history)

    (chat,) = of(spans, "chat")
    contents = dict(checked([chat]))
    sent = contents["gen_ai.input.messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool"]
    shipped = {
        part["type"]
        for name in ("gen_ai.input.messages", "gen_ai.output.messages")
        for message in contents[name]
        for part in message["parts"]
    }
    assert shipped >= {
        "text", "reasoning", "tool_call", "tool_call_response", "blob", "uri", "file", "verbatim",
    }  # fmt: skip
    assert len(sent[1]["parts"]) == len(EVERY_BLOCK)
    assert len(trajectory.model_calls[0].tools) == 1


@pytest.mark.parametrize(
    "offered",
    [
        {"type": "web_search_preview"},
        {"google_search": {}},
        {"name": "look", "description": "Look.", "input_schema": {"type": "object"}},
        {"type": "custom", "name": "free", "format": {"type": "text"}},
        {"type": "function", "function": {"name": "bare"}},
    ],
    ids=str,
)
def test_every_providers_tool_is_a_published_definition(recorded, offered):
    model = ScriptedChatModel(script=["done"]).bind(tools=[offered])

    _, spans = recorded(model, "go")

    ((_, definitions),) = [
        found for found in checked(of(spans, "chat")) if found[0] == "gen_ai.tool.definitions"
    ]
    assert len(definitions) == 1


def test_the_check_finds_what_is_not_as_published():
    def message(part):
        return [{"role": "user", "parts": [part]}]

    for kind, (_, required) in PARTS.items():
        if required:
            assert problems("gen_ai.input.messages", message({"type": kind}))
    assert problems("gen_ai.input.messages", message({"type": "text", "content": 1}))
    assert problems("gen_ai.input.messages", [{"role": "user"}])
    assert problems("gen_ai.tool.definitions", [{"type": "function"}])
    assert problems(
        "gen_ai.tool.definitions",
        [{"type": "function", "name": "x", "parameters": {"type": "no type"}}],
    )
    assert problems("gen_ai.memory.records", [{"id": "1"}])


class Shelf(BaseRetriever):
    """Finds the same two documents for everything."""

    def _get_relevant_documents(self, query, *, run_manager):
        if query == "break":
            raise LookupError("no shelf")
        return [
            Document("rain", id="d-1", metadata={"score": 0.5, "page": 3}),
            Document("snow"),
        ]


class State(TypedDict, total=False):
    said: str


def graph_of(step, **options):
    builder = StateGraph(State)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_edge("step", END)
    return builder.compile(**options)


def test_a_retriever_is_a_retrieval_with_its_query_and_documents(recorded):
    shelf = Shelf(name="weather")
    graph = graph_of(lambda state: {"said": str(shelf.invoke(state["said"]))})

    trajectory, spans = recorded(graph, {"said": "what falls?"})

    (span,) = of(spans, "retrieval")
    assert span["gen_ai.retrieval.query.text"] == "what falls?"
    ((_, documents),) = checked([span])
    assert documents == [
        {"content": "rain", "id": "d-1", "score": 0.5, "metadata": {"score": 0.5, "page": 3}},
        {"content": "snow"},
    ]
    (run,) = trajectory.tool_runs
    assert (run.name, run.node, run.arguments) == ("weather", "step", {"query": "what falls?"})
    assert (run.result, run.extras["operation"]) == (documents, "retrieval")


def remember(state):
    store = get_store()
    store.put(("users", "anna"), "likes", {"food": "plums"})
    liked = store.get(("users", "anna"), "likes")
    found = store.search(("users",), filter={"food": "plums"}, limit=3)
    store.delete(("users", "anna"), "likes")
    assert store.get(("users", "anna"), "likes") is None
    return {"said": f"{liked.value} {len(found)}"}


async def remember_async(state):
    store = get_store()
    await store.aput(("users", "anna"), "likes", {"food": "plums"})
    found = await store.asearch(("users",), limit=3)
    return {"said": str(len(found))}


def test_reads_and_writes_of_a_store_are_memory_operations(recorded):
    trajectory, spans = recorded(graph_of(remember, store=InMemoryStore()), {"said": ""})

    operations = [
        span["gen_ai.operation.name"] for span in spans if "gen_ai.memory.store.id" in span
    ]
    assert operations == [
        "upsert_memory", "search_memory", "search_memory", "delete_memory", "search_memory",
    ]  # fmt: skip
    checked(of(spans, "search_memory") + of(spans, "upsert_memory"))
    write, read, *_ = [span for span in spans if "gen_ai.memory.store.id" in span]
    assert (write["gen_ai.memory.store.id"], write["gen_ai.memory.record.id"]) == (
        "users/anna",
        "likes",
    )
    assert json.loads(write["gen_ai.memory.records"])[0]["content"] == {"food": "plums"}
    assert read["gen_ai.memory.record.count"] == 1
    assert trajectory.tool_runs == []
    put, get, search, delete, gone = trajectory.memory
    assert put.arguments == {
        "namespace": ["users", "anna"], "key": "likes", "value": {"food": "plums"},
    }  # fmt: skip
    assert get.result[0]["content"] == {"food": "plums"}
    assert search.arguments["filter"] == {"food": "plums"}
    assert (delete.name, delete.node, gone.result) == ("store.delete", "step", None)


async def test_an_async_store_is_recorded_once_an_access(tmp_path, configured):
    configured()
    graph = burnish.wrap(graph_of(remember_async, store=InMemoryStore()), agent="desk")

    result = await graph.ainvoke({"said": ""})

    (trajectory,) = Workspace(tmp_path).trajectories()
    assert result == {"said": "1"}
    assert [run.name for run in trajectory.memory] == ["store.put", "store.search"]


def test_a_store_of_a_kind_that_is_defined_later_is_recorded_too(recorded):
    recorded(graph_of(say, store=InMemoryStore()), {"said": ""})

    class Own(InMemoryStore):
        def get(self, namespace, key, *, refresh_ttl=None):
            return super().get(namespace, key)

    class Other(BaseStore):
        def batch(self, ops):
            return [None for _ in ops]

        async def abatch(self, ops):
            return self.batch(ops)

        def get(self, namespace, key, *, refresh_ttl=None):
            return None

    def look(state):
        get_store().get(("a",), "b")
        return {"said": "x"}

    for made in (Own, Other):
        trajectory, _ = recorded(graph_of(look, store=made()), {"said": ""})
        assert [run.name for run in trajectory.memory] == ["store.get"], made


def test_a_store_that_fails_fails_the_agent_as_it_would_and_is_an_error(recorded):
    def broken(state):
        with pytest.raises(ValueError, match="Namespace"):
            get_store().put((), "k", {})
        return {"said": "still here"}

    trajectory, _ = recorded(graph_of(broken, store=InMemoryStore()), {"said": ""})

    (run,) = trajectory.memory
    assert run.error.type == "InvalidNamespaceError"


def test_a_store_outside_of_a_recorded_run_leaves_nothing(tmp_path, configured):
    configured()
    store = InMemoryStore()
    burnish.wrap(graph_of(remember, store=store), agent="desk").invoke({"said": ""})
    store.put(("a",), "b", {"c": 1})
    with suppress():
        graph_of(remember, store=store).invoke({"said": ""})

    (trajectory,) = Workspace(tmp_path).trajectories()
    assert len(trajectory.memory) == 5


def say(state) -> State:
    return {"said": "x"}


def with_branch(ends):
    builder = StateGraph(State)
    builder.add_node("a", say)
    builder.add_node("b", say)
    builder.add_edge(START, "a")
    builder.add_conditional_edges("a", lambda state: "b", ends)
    return builder.compile()


def with_command():
    def jump(state) -> Command:
        return Command(goto=END)

    builder = StateGraph(State)
    builder.add_node("a", say)
    builder.add_node("b", jump, destinations=("a", END))
    builder.add_edge(START, "a")
    builder.add_edge("a", "b")
    return builder.compile()


@pytest.mark.parametrize(
    ("make", "operation"),
    [
        (lambda: graph_of(say), "invoke_workflow"),
        (lambda: with_branch(["b", END]), "invoke_workflow"),
        (lambda: with_branch({"b": "b", "end": END}), "invoke_workflow"),
        (lambda: with_branch(["a", "b"]), "invoke_agent"),
        (lambda: with_branch(None), "invoke_agent"),
        (with_command, "invoke_agent"),
    ],
)
def test_a_graph_without_a_way_back_is_a_workflow(recorded, make, operation):
    trajectory, spans = recorded(make(), {"said": ""}, recursion_limit=50)

    (root,) = [span for span in spans if span["burnish.kind"] == "agent"]
    assert root["gen_ai.operation.name"] == operation
    assert root.get("gen_ai.workflow.name") == ("desk" if operation == "invoke_workflow" else None)
    assert trajectory.agent == "desk"


def test_an_agent_inside_an_agent_is_a_span_of_its_own(recorded):
    inner = create_agent(ScriptedChatModel(script=["it rains"]), [], name="weather")
    other = burnish.wrap(create_agent(ScriptedChatModel(script=["at noon"]), []), agent="clock")

    def ask(state):
        said = [
            each.invoke({"messages": [("user", "?")]})["messages"][-1] for each in (inner, other)
        ]
        return {"said": " ".join(message.text for message in said)}

    trajectory, spans = recorded(graph_of(ask), {"said": ""})

    named = [
        (span["gen_ai.agent.name"], span["burnish.kind"]) for span in of(spans, "invoke_agent")
    ]
    assert named == [("weather", "node"), ("clock", "node")]
    assert [call.speaker for call in trajectory.model_calls] == ["weather", "clock"]


def test_an_agent_of_langchain_is_an_agent(recorded):
    call = AIMessage("", tool_calls=[{"name": "find_order", "args": {"number": 7}, "id": "c1"}])
    agent = create_agent(ScriptedChatModel(script=[call, "it is there"]), [find_order])

    trajectory, spans = recorded(agent, {"messages": [("user", "where is 7?")]})

    assert [len(of(spans, name)) for name in ("invoke_agent", "chat", "execute_tool")] == [1, 2, 1]
    checked(spans)
    assert [run.name for run in trajectory.tool_runs] == ["find_order"]
