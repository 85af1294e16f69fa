"""Both backends keep the contract, and the server answers as OpenAI's and vLLM's do."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from burnish.errors import BackendUnavailable, ServingError, SettingsError
from burnish.http_guard import check_address
from burnish.protocols import Backend
from burnish.serving import EmbeddedBackend, OpenAIBackend, open_backend
from burnish.serving.embedded.engine import Engine
from burnish.serving.http.server import make_app, running
from burnish.testing.backend_kit import CHECKS, BackendCase, run_all


@pytest.fixture(scope="module")
def served(taught):
    """A server on loopback over a model that knows some replies."""
    engine = Engine(taught)
    with running(make_app(taught, engine=engine)) as url:
        yield url
    engine.close()


@pytest.fixture(scope="module")
def cases(base, adapters):
    """Both backends over the random base: in this process, and at an address."""
    versions = dict(list(adapters.items())[:2])
    inner, outer = Engine(base), Engine(base)
    with running(make_app(base, engine=outer)) as url:
        remote = OpenAIBackend(url)
        yield {
            "embedded": BackendCase(backend=EmbeddedBackend(base, inner), versions=versions),
            "openai": BackendCase(backend=remote, versions=versions),
        }
        remote.close()
    inner.close()
    outer.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", ["embedded", "openai"])
def test_a_backend_keeps_the_contract(cases, kind, check):
    check(cases[kind])


def test_the_kit_finds_a_backend_that_falls_back_to_its_base(cases):
    class Careless(EmbeddedBackend):
        def generate(self, messages, tools, adapter, **sampling):
            known = adapter if adapter in self.list() else None
            return super().generate(messages, tools, known, **sampling)

    inner = cases["embedded"]
    careless = Careless(inner.backend.engine.facts.folder, inner.backend.engine)
    report = run_all(BackendCase(backend=careless, versions=inner.versions))
    failed = {name for name, error in report.items() if error}
    assert failed == {"it_never_answers_for_an_unknown_version"}


def test_both_backends_say_the_same(cases):
    (version, _), *_ = cases["embedded"].versions.items()
    said = []
    for case in cases.values():
        with case.load_versions(version):
            answer = case.ask(version)
            said.append((answer.token_ids, answer.prompt_token_ids, answer.finish_reason))
    assert said[0] == said[1]


def test_open_backend_tells_a_name_from_an_address(base):
    assert isinstance(open_backend("http://127.0.0.1:9", base_model="x"), OpenAIBackend)
    embedded = open_backend("embedded", base_model=str(base))
    assert isinstance(embedded, Backend)
    Engine.close_shared()
    with pytest.raises(SettingsError, match="no backend 'vllm'"):
        open_backend("vllm")
    with pytest.raises(SettingsError, match="without a base model"):
        open_backend("embedded")


def test_an_address_where_nobody_listens_is_said_so():
    with pytest.raises(BackendUnavailable, match="does not answer"):
        OpenAIBackend("http://127.0.0.1:9").list()


def test_unknown_sampling_settings_are_refused(cases):
    with pytest.raises(ServingError, match="unknown sampling settings beams"):
        cases["embedded"].ask(None, beams=5)


# The server


def ask(url, question, **body):
    body = {"messages": [{"role": "user", "content": question}], "temperature": 0} | body
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=30)


def test_chat_completions_have_openais_form(served):
    body = ask(served, "greet", logprobs=True, return_token_ids=True).json()
    choice = body["choices"][0]
    assert (body["object"], body["model"]) == ("chat.completion", "taught")
    assert choice["message"] == {"role": "assistant", "content": "Hello there, Zoë!"}
    assert choice["finish_reason"] == "stop"
    assert len(choice["token_ids"]) == len(choice["logprobs"]["content"])
    assert body["usage"]["completion_tokens"] == len(choice["token_ids"])
    assert body["usage"]["prompt_tokens"] == len(body["prompt_token_ids"])


def test_tool_calls_have_openais_form_and_a_malformed_one_stays_text(served):
    choice = ask(served, "add").json()["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert call["function"]["name"] == "add"
    assert json.loads(call["function"]["arguments"]) == {"a": [1]}
    broken = ask(served, "broken").json()["choices"][0]
    assert broken["message"]["content"] == '<tool_call>{"name": "add", "argum'
    assert "tool_calls" not in broken["message"]


@pytest.mark.parametrize("question", ["greet", "two", "broken"])
def test_a_stream_over_http_equals_the_whole_answer(served, question):
    whole = ask(served, question).json()["choices"][0]
    content, calls, finish, usage = "", [], None, None
    body = {"stream": True, "stream_options": {"include_usage": True}}
    events = ask(served, question, **body).text.strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    for event in events[:-1]:
        chunk = json.loads(event.removeprefix("data: "))
        usage = chunk.get("usage")
        for choice in chunk["choices"]:
            content += choice["delta"].get("content") or ""
            calls += choice["delta"].get("tool_calls", [])
            finish = choice["finish_reason"] or finish
    assert content == whole["message"]["content"]
    assert [call["function"] for call in calls] == [
        call["function"] for call in whole["message"].get("tool_calls", [])
    ]
    assert finish == whole["finish_reason"]
    assert usage


def test_a_stop_text_ends_the_answer_before_it(served):
    choice = ask(served, "greet", stop=["there"]).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hello ", "stop")


def test_an_openai_client_can_use_it(served):
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(model="taught", base_url=f"{served}/v1", api_key="none", temperature=0)
    assert chat.invoke("greet").content == "Hello there, Zoë!"
    assert chat.invoke("add").tool_calls[0]["args"] == {"a": [1]}
    chunks = list(chat.stream("greet"))
    assert "".join(str(chunk.content) for chunk in chunks) == "Hello there, Zoë!"
    assert len(chunks) > 3
    chat.root_client.close()


def test_the_adapter_routes_answer_as_vllm_does(base, adapters):
    (name, folder), *_ = adapters.items()
    engine = Engine(base)
    with running(make_app(base, engine=engine)) as url, httpx.Client(base_url=url) as client:

        def post(path, **body):
            response = client.post(f"/v1/{path}", json=body)
            text = response.text
            if response.status_code != 200:
                error = response.json()["error"]
                assert error["code"] == response.status_code
                text = f"{error['type']}: {error['message']}"
            return response.status_code, text

        load = {"lora_name": name, "lora_path": str(folder)}
        assert post("load_lora_adapter", **load) == (
            200,
            f"Success: LoRA adapter '{name}' added successfully.",
        )
        assert post("load_lora_adapter", **load) == (
            400,
            f"InvalidUserInput: The lora adapter '{name}' has already been loaded. If you want "
            "to load the adapter in place, set 'load_inplace' to True.",
        )
        assert post("load_lora_adapter", lora_name="x", lora_path="/nope") == (
            404,
            "NotFoundError: Loading lora x failed: No adapter found for /nope",
        )
        assert post("load_lora_adapter", lora_name="x")[0] == 400
        assert post("load_lora_adapter", lora_name="y", lora_path="/x", load_inplace=True)[0] == 400
        status, message = post("chat/completions", model="zzz", messages=[{"role": "user"}])
        assert status == 404
        assert message.startswith("NotFoundError: The model `zzz` does not exist.")
        models = client.get("/v1/models").json()["data"]
        assert [(model["id"], model["parent"]) for model in models] == [
            ("tiny", None),
            (name, "tiny"),
        ]
        assert models[1]["root"] == str(folder)
        assert post("unload_lora_adapter", lora_name=name) == (
            200,
            f"Success: LoRA adapter '{name}' removed successfully.",
        )
        assert post("unload_lora_adapter", lora_name=name) == (
            404,
            f"NotFoundError: The lora adapter '{name}' cannot be found.",
        )
    engine.close()


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"messages": []}',
        b'{"messages": [1]}',
        b'{"messages": [{"role": "user", "content": "x"}], "temperature": "warm"}',
        b'{"messages": [{"role": "user", "content": "x"}], "temperature": -1}',
        b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}',
        b'{"messages": [{"role": "user", "content": "x"}], "n": 2}',
    ],
)
def test_bad_bodies_get_one_clear_error(served, body):
    response = httpx.post(
        f"{served}/v1/chat/completions",
        content=body,
        headers={"content-type": "application/json"},
    )
    assert response.status_code == 400
    assert response.json()["error"]["message"]


def test_a_form_of_a_web_page_reaches_nothing(served):
    plain = httpx.post(f"{served}/v1/load_lora_adapter", content=b"{}")
    assert plain.status_code == 415
    renamed = httpx.get(f"{served}/v1/models", headers={"host": "evil.example"})
    assert renamed.status_code == 400


def test_a_token_is_asked_of_everyone(taught):
    engine = Engine(taught)
    with running(make_app(taught, token="s3cret", engine=engine)) as url:
        assert httpx.get(f"{url}/health").status_code == 200
        assert httpx.get(f"{url}/v1/models").status_code == 401
        with pytest.raises(ServingError, match="BURNISH_TOKEN"):
            OpenAIBackend(url, token="wrong").list()
        assert list(OpenAIBackend(url, token="s3cret").list()) == []
    engine.close()


def test_beyond_loopback_a_token_is_needed():
    for host in ("127.0.0.1", "::1", "localhost"):
        check_address(host, None)
    check_address("0.0.0.0", "t")
    for host in ("0.0.0.0", "10.0.0.1", "::", "example.com"):
        with pytest.raises(SettingsError, match="token"):
            check_address(host, None)


def test_many_clients_are_answered_at_once(served):
    with ThreadPoolExecutor(12) as pool:
        said = list(pool.map(lambda _: ask(served, "greet").json(), range(24)))
    assert {body["choices"][0]["message"]["content"] for body in said} == {"Hello there, Zoë!"}
