"""The chat model of a server: the server's own names, tokens, event loops, seeds, token ids, retries."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import openai
import pytest

from burnish.errors import BackendUnavailable, BaseModelMismatch, ServingError
from burnish.serving import open_backend
from burnish.serving.contract.base_models import resolve_model
from burnish.serving.remote.backend import OpenAIBackend
from burnish.serving.remote.chat_model import make_remote_chat
from burnish.serving.remote.endpoint import Endpoint, match_base
from burnish.testing import VllmServer


@pytest.fixture
def server(base, engine):
    with VllmServer(base, engine=engine) as server:
        yield server


def chat(server, base_model="base", adapter=None, **settings):
    return make_remote_chat(server.url, base_model, adapter, max_tokens=3, **settings)


def test_a_folder_is_asked_for_by_the_name_that_the_server_gives_it(server, base):
    assert open_backend(server.url, base_model=str(base)).base_model == "base"
    assert chat(server, str(base)).invoke("hi").response_metadata["model_name"] == "base"


def test_a_model_that_is_not_served_is_refused_by_name(server):
    with pytest.raises(ServingError, match="does not serve other, only base"):
        chat(server, "other").invoke("hi")


def test_a_base_model_is_known_by_its_weights_where_the_server_tells_their_hash(base, tmp_path):
    from burnish.serving.contract.base_models import base_sha256

    right, wrong = base_sha256(base), "0" * 64
    elsewhere = {"id": "served", "root": "/models/elsewhere"}
    assert match_base(str(base), [elsewhere | {"sha256": right}], "there") == "served"
    assert match_base(str(base), [elsewhere], "there") == "served"
    with pytest.raises(BaseModelMismatch, match="other weights"):
        match_base(str(base), [elsewhere | {"sha256": wrong}], "there")
    with pytest.raises(ServingError, match="only served, second"):
        match_base(str(base), [elsewhere, {"id": "second"}], "there")


def test_each_event_loop_has_connections_of_its_own_and_closes_them(server):
    model = chat(server)

    async def together():
        return await asyncio.gather(*(model.ainvoke(f"hi {n}") for n in range(4)))

    for _ in range(3):
        assert len(asyncio.run(together())) == 4


def test_the_token_of_the_environment_is_sent(base, engine, monkeypatch):
    with VllmServer(base, engine=engine, token="s3cret") as server:
        monkeypatch.setenv("BURNISH_TOKEN", "s3cret")
        assert chat(server).invoke("hi").response_metadata["model_name"] == "base"
        monkeypatch.setenv("BURNISH_TOKEN", "wrong")
        with pytest.raises(openai.AuthenticationError):
            chat(server).invoke("hi")
        with pytest.raises(ServingError, match="BURNISH_TOKEN"):
            OpenAIBackend(server.url).list()


def test_a_refused_token_is_an_error_of_the_server_also_before_its_names_are_known(
    base, engine, monkeypatch
):
    with VllmServer(base, engine=engine, token="s3cret") as server:
        monkeypatch.setenv("BURNISH_TOKEN", "wrong")
        with pytest.raises(BackendUnavailable, match=r"401: Unauthorized.*set BURNISH_TOKEN"):
            chat(server).invoke("hi")
        monkeypatch.setenv("BURNISH_TOKEN", "s3cret")
        server.fail(500, times=9, path="/v1/models")
        with pytest.raises(BackendUnavailable, match="500"):
            chat(server).invoke("hi")


def test_token_ids_are_asked_for_until_a_server_refuses_to_be_asked(base, engine):
    with VllmServer(base, engine=engine, refuses_unknown=True) as server:
        model = chat(server)
        for _ in range(3):
            model.invoke("hi")
        asyncio.run(model.ainvoke("hi"))
        assert [c.content for c in model.stream("hi")]
        asked = ["return_token_ids" in body for path, body in server.requests if "chat" in path]
        assert asked == [True, *[False] * 5]
        backend = OpenAIBackend(server.url)
        assert backend.generate([{"role": "user", "content": "hi"}], [], None, max_tokens=2)
    with VllmServer(base, engine=engine) as server:
        assert chat(server).invoke("hi").response_metadata["logprobs"]["content"]
        assert server.requests[-1][1]["return_token_ids"] is True


def test_each_call_has_the_seed_that_it_is_given(server):
    seeds = iter(range(100))
    model = chat(server, temperature=1.0, next_seed=lambda: next(seeds))
    model.invoke("hi")
    asyncio.run(model.ainvoke("hi"))
    assert list(model.stream("hi"))
    assert [body["seed"] for path, body in server.requests if "chat" in path] == [0, 1, 2]


def test_the_same_seed_draws_the_same_numbers_on_such_a_server(server):
    model = chat(server, temperature=2.0, seed=7)
    assert model.invoke("hi").content == model.invoke("hi").content


@pytest.mark.parametrize("status", [429, 500, 503, 0])
def test_errors_that_pass_are_tried_again(server, status):
    server.fail(status, times=2, headers={"retry-after": "0"})
    assert chat(server).invoke("hi").response_metadata["model_name"] == "base"


def test_the_backend_waits_as_long_as_the_server_asks(server):
    backend = OpenAIBackend(server.url)
    server.fail(429, headers={"retry-after": "0"}, path="/v1/models")
    server.fail(503, headers={"retry-after": formatdate(time.time() - 60)}, path="/v1/models")
    assert backend.list() == []
    server.fail(429, headers={"retry-after": "3600"}, path="/v1/models")
    with pytest.raises(BackendUnavailable, match="429"):
        backend.list()


def test_the_rank_limit_is_known_before_a_training(server, base, home):
    backend = OpenAIBackend(server.url)
    backend.check_rank(16, base)
    assert backend.list() == []
    with pytest.raises(ServingError, match="up to rank 16"):
        backend.check_rank(32, base)


def test_an_address_has_one_endpoint_however_it_is_spelled():
    assert Endpoint.shared("http://LOCALHOST:9/v1/") is Endpoint.shared("http://localhost:9")


def test_the_advice_on_a_name_that_is_not_served_ends_in_no_circle(base):
    """A model whose files are here is never renamed to one that has none; the other way round, both ways are given."""
    listed = [{"id": "first"}, {"id": "second"}]
    with pytest.raises(ServingError) as here:
        match_base(str(base), listed, "there")
    assert here.value.fix == f"start the server with --served-model-name {base}"
    with pytest.raises(ServingError) as elsewhere:
        match_base("nonesuch", listed, "there")
    assert "write base_model = 'first' (training needs its files here)" in elsewhere.value.fix
    with pytest.raises(ServingError) as missing:
        resolve_model("first")
    assert "--served-model-name FOLDER" in missing.value.fix
    assert "burnish doctor" not in missing.value.fix
