"""`burnish serve` obeys every option that changes the answer, or refuses it by name."""

from __future__ import annotations

import httpx
import openai
import pytest
import torch

from burnish.errors import ServingError
from burnish.serving.chat import EmbeddedChat
from burnish.serving.embedded.requests import EngineRequest
from burnish.serving.embedded.sampling import Sampling, choose_tokens
from burnish.serving.http.request_options import sampling_of_body
from burnish.serving.http.server import make_app, running

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def url(base):
    from burnish.serving.embedded.engine import Engine

    engine = Engine(base)
    with running(make_app(base, engine=engine)) as address:
        yield address
    engine.close()


def ask(url, route="chat/completions", **options):
    given = {"messages": HELLO} if route == "chat/completions" else {"prompt": "hello"}
    body = {"max_tokens": 6, "temperature": 0, **given, **options}
    return httpx.post(f"{url}/v1/{route}", json=body, timeout=60)


@pytest.mark.parametrize(
    "options",
    [
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"parallel_tool_calls": False},
        {"logit_bias": {"5": 100}},
        {"frequency_penalty": 0.5},
        {"presence_penalty": 0.5},
        {"repetition_penalty": 1.2},
        {"n": 2},
        {"n": True},
        {"best_of": 3},
        {"min_tokens": 4},
        {"ignore_eos": True},
        {"guided_json": {}},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"reasoning_effort": "low"},
        {"top_logprobs": 3},
        {"top_logprobs": 21, "logprobs": True},
        {"max_tokens": 0},
        {"max_completion_tokens": 0},
        {"max_tokens": -1},
        {"top_p": 0},
        {"top_p": "0.5"},
        {"min_p": 2},
        {"temperature": -1},
        {"seed": "7"},
        {"top_k": 1.5},
        {"unheard_of": 1},
        {"logprobs": "x"},
        {"logprobs": 1},
        {"stream": "false"},
        {"stream": 0},
        {"return_token_ids": "no"},
        {"return_tokens_as_token_ids": 1},
        {"stream_options": "x"},
        {"stream_options": {"include_usage": "no"}, "stream": True},
        {"stream_options": {"include_obfuscation": True}, "stream": True},
        {"tools": {"type": "function"}},
        {"tools": "none"},
        {"tools": ["a"]},
        {"model": ""},
        {"model": False},
        {"model": []},
        {"stop": {"a": 1}},
        {"stop": 5},
    ],
)
def test_an_option_that_is_not_obeyed_is_refused_by_name(url, options):
    response = ask(url, **options)
    assert response.status_code == 400
    name = next(iter(options))
    assert name in response.json()["error"]["message"] or name.startswith("top_")


@pytest.mark.parametrize("options", [{"echo": True}, {"suffix": "x"}, {"n": 2}, {"messages": []}])
def test_completions_refuse_what_they_do_not_obey(url, options):
    response = ask(url, "completions", **options)
    assert response.status_code == 400
    assert next(iter(options)) in response.json()["error"]["message"]


def test_options_that_ask_for_nothing_special_are_taken(url):
    neutral = {
        "n": 1,
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logit_bias": {},
        "response_format": {"type": "text"},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "user": "u-1",
        "top_logprobs": None,
        "echo": False,
        "stop": None,
        "top_k": -1,
    }
    assert ask(url, **neutral).json()["choices"] == ask(url).json()["choices"]


def test_top_k_of_one_is_the_likeliest_token_at_any_temperature(url):
    greedy = ask(url, return_token_ids=True).json()["choices"][0]["token_ids"]
    for options in ({"top_k": 1}, {"min_p": 1.0}):
        for seed in range(3):
            drawn = ask(url, temperature=1.9, seed=seed, return_token_ids=True, **options)
            assert drawn.json()["choices"][0]["token_ids"] == greedy


def test_top_logprobs_are_the_models_own_and_hold_the_chosen_token(url):
    entries = ask(url, logprobs=True, top_logprobs=4).json()["choices"][0]["logprobs"]["content"]
    assert len(entries) == 6
    for entry in entries:
        values = [top["logprob"] for top in entry["top_logprobs"]]
        assert len(values) == 4
        assert values == sorted(values, reverse=True)
        assert values[0] == pytest.approx(entry["logprob"], abs=1e-4)


def test_a_stop_text_ends_a_completion_before_it(url):
    whole = ask(url, "completions", max_tokens=12).json()["choices"][0]["text"]
    stop = next(text for text in whole[2:] if text.isprintable() and text != "\ufffd")
    cut = ask(url, "completions", max_tokens=12, stop=[stop]).json()["choices"][0]
    assert cut["text"] == whole[: whole.index(stop)]
    assert cut["finish_reason"] == "stop"


def test_a_stream_tells_log_probabilities_and_token_ids(url):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="x")
    common = {"model": client.models.list().data[0].id, "messages": HELLO, "max_tokens": 6}
    asked = {"temperature": 0, "logprobs": True, "extra_body": {"return_token_ids": True}}
    whole = client.chat.completions.create(**common, **asked)
    chunks = list(client.chat.completions.create(**common, **asked, stream=True))
    streamed = [
        entry.logprob
        for chunk in chunks
        for choice in chunk.choices
        if choice.logprobs
        for entry in choice.logprobs.content
    ]
    assert streamed == pytest.approx([e.logprob for e in whole.choices[0].logprobs.content])
    assert chunks[-1].choices[0].token_ids == whole.choices[0].token_ids
    assert chunks[-1].prompt_token_ids == whole.prompt_token_ids
    client.close()


def test_a_model_can_be_retrieved_by_its_name(url):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="x")
    listed = client.models.list().data[0]
    assert client.models.retrieve(listed.id).id == listed.id
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.models.retrieve("nobody@000000000000")
    client.close()


def drawn(logits, setting, history=((), ()), draws=400):
    rows = logits.repeat(draws, 1)
    streams = [Sampling(temperature=1, seed=n).make_stream([1]) for n in range(draws)]
    chosen = choose_tokens(rows, [setting] * draws, streams, [history] * draws)
    return {token: chosen.tokens.count(token) / draws for token in set(chosen.tokens)}


def test_the_support_of_a_draw_is_that_of_transformers():
    from transformers.generation.logits_process import (
        LogitsProcessorList,
        MinPLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    logits = torch.log(torch.tensor([[0.4, 0.25, 0.15, 0.1, 0.06, 0.04]]))
    for top_k, top_p, min_p in ((3, 1.0, 0.0), (0, 0.7, 0.0), (0, 1.0, 0.3), (4, 0.8, 0.2)):
        warpers = [MinPLogitsWarper(min_p)] if min_p else []
        warpers += [TopKLogitsWarper(top_k)] if top_k else []
        warpers += [TopPLogitsWarper(top_p)] if top_p < 1 else []
        expected = LogitsProcessorList(warpers)(None, logits.clone()).softmax(-1)[0]
        found = drawn(logits, Sampling(temperature=1, top_k=top_k, top_p=top_p, min_p=min_p))
        assert set(found) == {n for n, share in enumerate(expected.tolist()) if share > 0}
        for token, share in found.items():
            assert share == pytest.approx(expected[token].item(), abs=0.1)


def test_penalties_and_biases_change_the_choice_and_not_the_log_probability():
    logits = torch.tensor([[2.0, 1.9, -1.0]])
    own = logits.log_softmax(-1)[0]

    def greedy(history=((), ()), **options):
        chosen = choose_tokens(logits, [Sampling(**options)], [None], [history])
        assert chosen.logprobs[0] == pytest.approx(own[chosen.tokens[0]].item(), abs=1e-5)
        return chosen.tokens[0]

    assert greedy() == 0
    assert greedy(logit_bias=((2, 5.0),)) == 2
    assert greedy(((), (0,)), presence_penalty=0.2) == 1
    assert greedy(((0,), ()), presence_penalty=0.2) == 0  # the prompt does not count
    assert greedy(((), (0, 0)), frequency_penalty=0.06) == 1
    assert greedy(((), (0,)), frequency_penalty=0.06) == 0
    assert greedy(((0,), ()), repetition_penalty=1.2) == 1
    assert logits.tolist() == [[2.0, pytest.approx(1.9), -1.0]]


def test_the_embedded_chat_obeys_the_same_options(base):
    chat = EmbeddedChat(str(base), max_tokens=6)
    plain = chat.invoke("hello").response_metadata["burnish"]["token_ids"]
    warm = chat.invoke("hello", temperature=1.9, top_k=1).response_metadata["burnish"]["token_ids"]
    assert warm == plain
    other = chat.invoke("hello", logit_bias={str(plain[0]): -100})
    assert other.response_metadata["burnish"]["token_ids"][0] != plain[0]
    with pytest.raises(ServingError, match="min_p"):
        chat.invoke("hello", min_p=3)


def test_rows_of_a_batch_keep_their_own_settings(engine):
    plain = engine.generate(EngineRequest(prompt=[5, 6, 7], max_tokens=4)).token_ids
    biased = Sampling(logit_bias=((plain[0], -100.0),))
    futures = [
        engine.submit_request(
            EngineRequest(prompt=[5, 6, 7], max_tokens=4, sampling=sampling, top_logprobs=top)
        )
        for sampling, top in ((Sampling(), 0), (biased, 2), (Sampling(), 3))
    ]
    answers = [future.result() for future in futures]
    assert answers[0].token_ids == answers[2].token_ids == plain
    assert answers[1].token_ids[0] != plain[0]
    assert [len(a.tops) for a in answers] == [0, len(answers[1].token_ids), 4]


def test_a_bias_in_another_form_is_refused():
    for bad in ({"x": 1}, {"1": 200}, {"-1": 1}, [1]):
        with pytest.raises(ServingError, match="logit_bias"):
            sampling_of_body({"logit_bias": bad})
