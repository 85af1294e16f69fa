"""Routed models with real backends: an OpenAI-compatible server on loopback, and the embedded engine."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

import burnish
from burnish import settings
from burnish.adapters import AdapterStore, SqlControlStore, Target
from burnish.canary import assign
from burnish.errors import ServingError
from burnish.langchain import RoutingMiddleware, route
from burnish.records import AdapterManifest
from burnish.serving import EmbeddedChat, base_sha256

CANARY = "support@" + "b" * 12


class Weather(BaseModel):
    """The weather of a place."""

    place: str
    degrees: int


class Handler(BaseHTTPRequestHandler):
    """Answers with the name of the requested model; calls a tool if the request forces one."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        model = self.server.serves or asked["model"]
        about = {"id": "c-1", "created": 1, "model": model}
        if asked.get("stream"):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for word in ("I am ", model):
                choice = {"index": 0, "delta": {"role": "assistant", "content": word}}
                self._event({**about, "object": "chat.completion.chunk", "choices": [choice]})
            last = {"index": 0, "delta": {}, "finish_reason": "stop"}
            self._event({**about, "object": "chat.completion.chunk", "choices": [last]})
            self.wfile.write(b"data: [DONE]\n\n")
            return
        message = {"role": "assistant", "content": f"I am {model}"}
        if asked.get("response_format"):
            message["content"] = json.dumps({"place": model, "degrees": 3})
        elif isinstance(asked.get("tool_choice"), dict):
            arguments = json.dumps({"place": model, "degrees": 3})
            function = {**asked["tool_choice"]["function"], "arguments": arguments}
            message["tool_calls"] = [{"id": "t-1", "type": "function", "function": function}]
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body = {**about, "object": "chat.completion", "choices": [choice], "usage": usage}
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _event(self, content):
        self.wfile.write(f"data: {json.dumps(content)}\n\n".encode())


@pytest.fixture
def serve():
    """Starts OpenAI-compatible servers."""
    started = []

    def start(serves=None):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.asked, server.serves = [], serves
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def home(tmp_path):
    settings.reset()
    burnish.configure(home=tmp_path)
    yield tmp_path
    settings.reset()


@pytest.fixture
def point(home):
    store = SqlControlStore(home)

    def set_pointer(**document):
        store.write("support", document, expected_version=store.read("support")[1])

    return set_pointer


def hosted(server, **changes):
    return ChatOpenAI(
        base_url=f"{server.url}/v1", api_key="k", model="gpt-x", max_retries=0, **changes
    )


def on_thread(thread):
    return {"configurable": {"thread_id": thread}}


def target(backend, adapter=CANARY, base_model="base"):
    return {"backend": backend, "base_model": base_model, "adapter": adapter}


async def test_a_hosted_model_is_asked_for_the_version_by_its_name(serve, point):
    server = serve()
    point(canary=target(server.url + "/v1/"), share=1.0, salt="s")
    model = route(hosted(server), agent="support")
    config = on_thread("t")

    streamed = AIMessageChunk(content="")
    for chunk in model.stream("hi", config):
        streamed += chunk
    astreamed = AIMessageChunk(content="")
    async for chunk in model.astream("hi", config):
        astreamed += chunk
    answers = [
        model.invoke("hi", config),
        await model.ainvoke("hi", config),
        streamed,
        astreamed,
    ]

    assert {answer.content for answer in answers} == {f"I am {CANARY}"}
    for answer in answers:
        said = answer.response_metadata["burnish"]
        assert (said["adapter"], said["arm"]) == (CANARY, "canary")
    assert {asked["model"] for asked in server.asked} == {CANARY}
    assert model.invoke("hi").content == "I am gpt-x"


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_structured_output_of_a_hosted_model_follows_the_pointer(serve, point, method):
    server = serve()
    point(canary=target("own"), share=1.0, salt="s")
    model = route(hosted(server), agent="support").with_structured_output(Weather, method=method)

    assert model.invoke("hi", on_thread("t")) == Weather(place=CANARY, degrees=3)


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_another_server_gets_the_whole_request_tools_included(serve, point, method):
    own, other = serve(), serve()
    point(canary=target(other.url), share=1.0, salt="s")
    routed = route(hosted(own, temperature=0.5, max_tokens=77), agent="support")
    model = routed.with_structured_output(Weather, method=method)

    assert model.invoke("hi", on_thread("t")) == Weather(place=CANARY, degrees=3)
    asked = other.asked[0]
    assert (asked["model"], asked["temperature"]) == (CANARY, 0.5)
    assert 77 in (asked.get("max_tokens"), asked.get("max_completion_tokens"))
    if method == "function_calling":
        assert asked["tools"][0]["function"]["name"] == "Weather"
        assert asked["tool_choice"]["function"]["name"] == "Weather"
    assert own.asked == []
    assert model.invoke("hi") == Weather(place="gpt-x", degrees=3)
    assert len(own.asked) == 1


def test_a_server_that_answers_with_its_base_is_an_error_not_an_answer(serve, point):
    server = serve(serves="the-base")
    point(canary=target("own"), share=1.0, salt="s")
    model = route(hosted(server), agent="support")

    with pytest.raises(ServingError, match=f"answered as 'the-base'; expected adapter {CANARY}"):
        model.invoke("hi", on_thread("t"))
    with pytest.raises(ServingError, match="answered as 'the-base'"):
        list(model.stream("hi", on_thread("t")))


def test_an_agent_is_routed_by_middleware_and_sticks_to_its_thread(serve, point):
    server = serve()
    point(canary=target("own"), share=0.5, salt="s")
    agent = create_agent(
        hosted(server),
        [],
        middleware=[RoutingMiddleware("support")],
        checkpointer=InMemorySaver(),
    )

    for thread in map(str, range(8)):
        expected = CANARY if assign(thread, "s", 0.5) else "gpt-x"
        for _ in range(2):
            answer = agent.invoke({"messages": [("user", "hi")]}, on_thread(thread))
            assert answer["messages"][-1].content == f"I am {expected}"


async def test_an_async_agent_is_routed_by_middleware_too(serve, point):
    server = serve()
    point(stable=target("own"))
    agent = create_agent(hosted(server), [], middleware=[RoutingMiddleware("support")])

    answer = await agent.ainvoke({"messages": [("user", "hi")]})

    assert answer["messages"][-1].content == f"I am {CANARY}"
    assert answer["messages"][-1].response_metadata["burnish"]["arm"] == "stable"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    from burnish.serving.embedded.tiny import make_model

    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def versions(home, base, tmp_path):
    """Two adapter versions in the workspace."""
    from burnish.serving.embedded.tiny import make_adapter

    store, found = AdapterStore(home), []
    for seed in (1, 2):
        folder = make_adapter(tmp_path / f"trained-{seed}", base, seed=seed, rank=4)
        manifest = AdapterManifest(
            id="",
            name="support",
            sha256="",
            base_model=str(base),
            base_sha256=base_sha256(base),
            rank=4,
            alpha=8.0,
            targets=[],
            created_at=f"2026-11-2{seed}T10:00:00Z",
        )
        found.append(store.publish(folder, manifest).id)
    return found


def spoken(base, adapter):
    return EmbeddedChat(base_model=str(base), adapter=adapter, max_tokens=12).invoke("hi").content


async def test_threads_of_the_embedded_engine_are_answered_by_their_own_version(
    home, base, versions, point
):
    stable, canary = versions
    point(
        stable=target("embedded", stable, str(base)),
        canary=target("embedded", canary, str(base)),
        share=0.5,
        salt="s",
    )
    model = route(EmbeddedChat(base_model=str(base), max_tokens=12), agent="support")
    expected = {version: spoken(base, version) for version in versions}
    threads = [str(number) for number in range(12)]

    answers = await model.abatch(["hi"] * 12, [on_thread(thread) for thread in threads])

    assert len(set(expected.values())) == 2
    for thread, answer in zip(threads, answers, strict=True):
        arm, version = ("canary", canary) if assign(thread, "s", 0.5) else ("stable", stable)
        own = answer.response_metadata["burnish"]
        assert (own["adapter"], own["arm"]) == (version, arm)
        assert answer.content == expected[version]
        assert own["token_ids"]


def test_a_stream_of_the_embedded_engine_adds_up_to_one_stamp(home, base, versions, point):
    point(stable=target("embedded", versions[0], str(base)))
    model = route(EmbeddedChat(base_model=str(base), max_tokens=12), agent="support")
    whole = None
    for chunk in model.stream("hi"):
        whole = chunk if whole is None else whole + chunk

    own = whole.response_metadata["burnish"]
    assert (own["adapter"], own["arm"]) == (versions[0], "stable")
    assert whole.content == spoken(base, versions[0])


def test_a_hosted_agent_can_have_an_embedded_canary(serve, home, base, versions, point):
    server = serve()
    point(canary=target("embedded", versions[0], str(base)), share=0.5, salt="s")
    model = route(hosted(server, max_tokens=12, temperature=0.0), agent="support")
    model = model.bind_tools([Weather])

    for thread in map(str, range(6)):
        answer = model.invoke("hi", on_thread(thread))
        own = answer.response_metadata["burnish"]
        if assign(thread, "s", 0.5):
            assert (own["adapter"], own["arm"]) == (versions[0], "canary")
            assert own["token_ids"]
        else:
            assert answer.content == "I am gpt-x"
            assert own == {"adapter": None, "arm": "stable", "rollout": "s", "share": 0.5}


def test_targets_are_plain_records():
    assert Target(**target("own")).adapter == CANARY
