"""A real vLLM answers as the embedded engine does, and the clients respect its limits."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import openai
import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.tools import StructuredTool
from langgraph.graph import END, START, MessagesState, StateGraph

import burnish
from burnish.adapters import AdapterStore
from burnish.errors import BackendUnavailable, ServingError, UnknownAdapter
from burnish.serving import open_backend
from burnish.serving.fingerprint import read_fingerprint, write_fingerprint
from burnish.serving.remote.backend import OpenAIBackend
from burnish.serving.remote.chat_model import make_remote_chat
from burnish.serving.remote.endpoint import Endpoint

sys.path.append(str(Path(__file__).parents[2] / "examples" / "support_desk"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NEAR = 1e-4
"""Log-probabilities of vLLM and of the embedded engine differ by less; both calculate in fp32."""


def asked(count):
    """The first requests of tasks of the support desk, with the tools of their desks."""
    from agent import PROMPT, tools_of
    from langchain_core.utils.function_calling import convert_to_openai_tool
    from tasks import tasks

    for task in tasks("heldout", count):
        system = {"role": "system", "content": PROMPT.format(desk=task["desk"])}
        said = task["input"]["messages"][0]
        user = {"role": "user", "content": said[1] if isinstance(said, tuple) else said["content"]}
        yield [system, user], [convert_to_openai_tool(tool) for tool in tools_of(task["desk"])]


@pytest.fixture
def backend(vllm, home):
    """The server as a backend, without adapters of other tests."""
    backend = OpenAIBackend(vllm.url)
    for name in backend.list():
        backend.unload(name)
    return backend


def test_greedy_answers_are_those_of_the_embedded_engine(backend, versions, home):
    embedded = open_backend("embedded", "starter")
    for version in versions:
        for one in (backend, embedded):
            one.load(version, AdapterStore(home).path(version))
    furthest, different = 0.0, 0
    for messages, tools in asked(30):
        answers = {}
        for version in (None, *versions):
            mine, theirs = (
                one.generate(messages, tools, version, temperature=0.0, max_tokens=48)
                for one in (embedded, backend)
            )
            assert theirs.prompt_token_ids == mine.prompt_token_ids
            assert theirs.token_ids == mine.token_ids
            assert theirs.finish_reason == mine.finish_reason
            for ours, other in zip(mine.tool_calls, theirs.tool_calls, strict=True):
                said, heard = ours["function"], other["function"]
                assert said["name"] == heard["name"]
                assert json.loads(said["arguments"]) == json.loads(heard["arguments"])
            pairs = zip(mine.logprobs, theirs.logprobs, strict=True)
            furthest = max([furthest, *(abs(ours - other) for ours, other in pairs)])
            answers[version] = tuple(theirs.token_ids)
        different += len(set(answers.values()))
    print(f"\nlargest difference of log-probabilities: {furthest:.1e}")
    assert furthest < NEAR
    assert different > 30  # the adapters are heard


def test_versions_are_loaded_listed_proven_and_unloaded(backend, versions, home):
    folder = AdapterStore(home).path(versions[0])
    backend.load(versions[0], folder)
    backend.load(versions[0], folder)
    assert backend.list() == [versions[0]]
    backend.probe(versions[0])
    backend.unload(versions[0])
    assert backend.list() == []
    with pytest.raises(UnknownAdapter):
        backend.unload(versions[0])
    with pytest.raises(UnknownAdapter, match="does not exist"):
        backend.generate([{"role": "user", "content": "hi"}], [], versions[0], max_tokens=2)


def test_a_version_with_the_weights_of_another_is_not_proven(backend, versions, home, adapters):
    folder = AdapterStore(home).path(versions[0])
    backend.load(versions[0], folder)
    write_fingerprint(folder, read_fingerprint(adapters[1]))
    with pytest.raises(ServingError):
        backend.probe(versions[0])


def test_the_rank_limit_is_known_before_a_training(backend, starter):
    backend.check_rank(16, starter)
    with pytest.raises(ServingError, match=r"up to rank 16, and train\.rank is 32"):
        backend.check_rank(32, starter)
    assert backend.list() == []


def test_another_token_is_refused(vllm, home, monkeypatch):
    monkeypatch.setenv("BURNISH_TOKEN", "another")
    monkeypatch.setattr(Endpoint, "_shared", {})  # no name of this server is known yet
    with pytest.raises(BackendUnavailable, match=r"401.*set BURNISH_TOKEN"):
        OpenAIBackend(vllm.url).list()
    with pytest.raises(BackendUnavailable, match="401"):
        make_remote_chat(vllm.url, "base", max_tokens=2).invoke("hi")  # asks for the name first
    with pytest.raises(openai.AuthenticationError):
        make_remote_chat(vllm.url, "base", "support@0a1b2c3d4e5f", max_tokens=2).invoke("hi")


def test_the_base_model_may_be_named_by_its_folder(vllm, home, starter):
    assert open_backend(vllm.url, base_model=str(starter)).base_model == "base"
    said = make_remote_chat(vllm.url, str(starter), max_tokens=2).invoke("hi")
    assert said.response_metadata["model_name"] == "base"


def test_a_seed_decides_the_answer_and_every_event_loop_has_connections(vllm, home):
    def drawn(*seeds):
        async def together():
            models = [make_remote_chat(vllm.url, "base", max_tokens=12, seed=s) for s in seeds]
            calls = [m.bind(temperature=1.0).ainvoke("Which items has Ada?") for m in models]
            return [str(said.content) for said in await asyncio.gather(*calls)]

        return asyncio.run(together())

    first = drawn(*range(16))
    assert drawn(*range(16)) == first
    assert len(set(first)) > 4


def find_customer(name: str) -> str:
    """Looks a customer up."""
    return name


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_recorded_calls_hold_the_tokens_that_were_served(vllm, home, way):
    tool = StructuredTool.from_function(find_customer)
    model = make_remote_chat(vllm.url, "base", max_tokens=40, temperature=0.0).bind_tools([tool])

    def node(state):
        if way == "invoke":
            return {"messages": [model.invoke(state["messages"])]}
        return {"messages": [_added(list(model.stream(state["messages"])))]}

    async def anode(state):
        if way == "ainvoke":
            return {"messages": [await model.ainvoke(state["messages"])]}
        return {"messages": [_added([piece async for piece in model.astream(state["messages"])])]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", anode if way.startswith("a") else node)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    agent = burnish.wrap(graph.compile(), agent="support")
    for messages, _ in asked(3):
        if way.startswith("a"):
            asyncio.run(agent.ainvoke({"messages": messages}))
        else:
            agent.invoke({"messages": messages})
    burnish.flush()
    workspace = burnish.Workspace()
    runs = [workspace.trajectory(entry.id) for entry in workspace.entries()]
    calls = [call for run in runs for call in run.model_calls]
    assert len(calls) == 3
    for call in calls:
        assert call.prompt_token_ids
        assert call.token_ids
        assert call.logprobs is not None
        assert len(call.logprobs) == len(call.token_ids)


def _added(pieces):
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    assert isinstance(whole, AIMessageChunk)
    return whole
