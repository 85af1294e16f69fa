"""The stand-in for vLLM answers and refuses as a real one does, field by field and word by word."""

from __future__ import annotations

import json
import shutil

import httpx
import pytest
from vllm_process import TOKEN

from burnish.serving.embedded.tiny import make_adapter
from burnish.testing import VllmServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DESK = [
    {"role": "system", "content": "You are the shop agent. Look before you act."},
    {"role": "user", "content": "Which item is the latest of Ada?"},
]
TOOL = {
    "type": "function",
    "function": {
        "name": "find_customer",
        "description": "Finds one.",
        "parameters": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "card": {"type": "string"}},
            "required": [],
        },
    },
}
CHAT = {
    "model": "base",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 4,
    "temperature": 0,
}
DESK_CHAT = CHAT | {"messages": DESK, "tools": [TOOL], "max_tokens": 60}
CHATS = {
    "plain": {},
    "an adapter": {"model": "one"},
    "unknown model": {"model": "zz"},
    "no model": {"model": None},
    "no messages": {"messages": []},
    "no tokens": {"max_tokens": 0},
    "negative tokens": {"max_tokens": -3},
    "more tokens than the context": {"max_tokens": 5000},
    "as many tokens as the context": {"max_tokens": 2048},
    "tokens as a word": {"max_tokens": "a"},
    "max_completion_tokens": {"max_tokens": None, "max_completion_tokens": 3},
    "negative temperature": {"temperature": -1},
    "too hot": {"temperature": 3.0},
    "top_p of nothing": {"top_p": 0},
    "top_p above one": {"top_p": 1.5},
    "no answers": {"n": 0},
    "unknown field": {"foo": 1},
    "token ids": {"return_token_ids": True},
    "token ids and log-probabilities": {"return_token_ids": True, "logprobs": True},
    "likeliest tokens": {"logprobs": True, "top_logprobs": 2},
    "likeliest tokens without log-probabilities": {"top_logprobs": 2},
    "too many likeliest tokens": {"logprobs": True, "top_logprobs": 100},
    "tools": DESK_CHAT,
    "tools that are not to be called": DESK_CHAT
    | {"tool_choice": "none", "return_token_ids": True},
    "tools with choice": DESK_CHAT | {"tool_choice": "auto", "return_token_ids": True},
    "cut call": DESK_CHAT | {"max_tokens": 4},
    "choice without tools": {"tool_choice": "auto"},
    "empty tools": {"tools": []},
    "stop": {"stop": ["user"]},
    "empty stop": {"stop": [""]},
    "seed as a word": {"seed": "x"},
    "stream options without a stream": {"stream_options": {"include_usage": True}},
    "parts of text": {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
}
STREAMS = {
    "plain": {},
    "token ids": {"return_token_ids": True, "logprobs": True},
    "usage": {"stream_options": {"include_usage": True}},
    "tools": DESK_CHAT | {"return_token_ids": True},
    "an adapter": {"model": "one", "return_token_ids": True},
}
COMPLETION = {"model": "base", "prompt": [1, 5, 6], "max_tokens": 2, "temperature": 0}
COMPLETIONS = {
    "plain": {},
    "text": {"prompt": "hello"},
    "log-probabilities": {"logprobs": 2},
    "log-probabilities of none": {"logprobs": 0},
    "by token id": {"logprobs": 2, "return_tokens_as_token_ids": True},
    "an adapter": {"model": "one", "logprobs": 3, "return_tokens_as_token_ids": True},
    "token ids": {"return_token_ids": True},
    "too many log-probabilities": {"logprobs": 50},
    "no prompts": {"prompt": []},
    "empty prompt": {"prompt": ""},
    "no prompt": {"prompt": None},
    "unknown token": {"prompt": [99999]},
    "too long": {"prompt": [5, 6, 7, 8, 9] * 500},
    "no tokens": {"max_tokens": 0},
}
ADMIN = {
    "a folder that is not there": ("load", {"lora_name": "x", "lora_path": "/nope"}),
    "a folder without an adapter": ("load", {"lora_name": "x", "lora_path": "EMPTY"}),
    "again": ("load", {"lora_name": "one", "lora_path": "ONE"}),
    "the name of the base": ("load", {"lora_name": "base", "lora_path": "ONE"}),
    "a rank above the limit": ("load", {"lora_name": "x", "lora_path": "BIG"}),
    "damaged settings": ("load", {"lora_name": "x", "lora_path": "BROKEN"}),
    "no path": ("load", {"lora_name": "x"}),
    "empty name": ("load", {"lora_name": "", "lora_path": "ONE"}),
    "a number as name": ("load", {"lora_name": 5, "lora_path": "ONE"}),
    "unload unknown": ("unload", {"lora_name": "nn"}),
    "unload the base": ("unload", {"lora_name": "base"}),
    "unload nothing": ("unload", {}),
}
VOLATILE = {"id", "created", "system_fingerprint", "permission"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, starter):
    """Adapter folders by the words of ADMIN."""
    home = tmp_path_factory.mktemp("forms")
    made = {
        "ONE": make_adapter(home / "one", starter, seed=1, rank=8),
        "BIG": make_adapter(home / "big", starter, seed=2, rank=32),
        "EMPTY": home / "empty",
        "BROKEN": home / "broken",
    }
    made["EMPTY"].mkdir()
    shutil.copytree(made["ONE"], made["BROKEN"])
    (made["BROKEN"] / "adapter_config.json").write_text("{")
    return {name: str(path) for name, path in made.items()}


@pytest.fixture(scope="module")
def both(vllm, folders):
    """Addresses of the real server and of the stand-in, both with an adapter `one`."""
    with VllmServer("starter", token=TOKEN) as stand_in:
        addresses = (vllm.url, stand_in.url)
        body = {"lora_name": "one", "lora_path": folders["ONE"]}
        told = [asked(url, "POST", "/v1/load_lora_adapter", body) for url in addresses]
        assert told[0] == told[1]
        yield addresses
        told = [
            asked(u, "POST", "/v1/unload_lora_adapter", {"lora_name": "one"}) for u in addresses
        ]
        assert told[0] == told[1]


def asked(url, method, path, body=None, token=TOKEN):
    """Return status and body of an answer, without fields that differ from answer to answer."""
    head = {"authorization": f"Bearer {token}"}
    answer = httpx.request(method, f"{url}{path}", json=body, headers=head, timeout=300)
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        return answer.status_code, summed(answer.text)
    try:
        return answer.status_code, comparable(answer.json())
    except ValueError:
        return answer.status_code, answer.text


def comparable(value):
    """A body without nulls, with rounded numbers."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in VOLATILE and v is not None}
        return {k: comparable(v) for k, v in kept.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return round(value, 3) if isinstance(value, float) else value


def summed(text):
    """Return the joined content of a stream's chunks."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    told = {"content": "", "calls": "", "token_ids": [], "logprobs": []}
    for chunk in chunks:
        for name in ("model", "object", "prompt_token_ids", "usage"):
            if chunk.get(name) is not None:
                told[name] = comparable(chunk[name])
        for choice in chunk["choices"]:
            told["content"] += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls") or ():
                function = call["function"]
                told["calls"] += (function.get("name") or "") + (function.get("arguments") or "")
            told["token_ids"] += choice.get("token_ids") or []
            told["logprobs"] += comparable((choice.get("logprobs") or {}).get("content") or [])
            told["finish_reason"] = choice["finish_reason"]
    told["first"] = comparable(chunks[0]["choices"])
    return told


@pytest.mark.parametrize("name", CHATS)
def test_a_chat_is_answered_as_by_vllm(both, name):
    real, stand_in = (
        asked(url, "POST", "/v1/chat/completions", CHAT | CHATS[name]) for url in both
    )
    assert stand_in == real


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_answered_as_by_vllm(both, name):
    body = CHAT | STREAMS[name] | {"stream": True}
    real, stand_in = (asked(url, "POST", "/v1/chat/completions", body) for url in both)
    assert stand_in == real


@pytest.mark.parametrize("name", COMPLETIONS)
def test_a_completion_is_answered_as_by_vllm(both, name):
    body = COMPLETION | COMPLETIONS[name]
    real, stand_in = (asked(url, "POST", "/v1/completions", body) for url in both)
    assert stand_in == real


@pytest.mark.parametrize("name", ADMIN)
def test_adapters_are_refused_as_by_vllm(both, folders, name):
    route, body = ADMIN[name]
    body = {key: folders.get(value, value) for key, value in body.items()}
    real, stand_in = (asked(url, "POST", f"/v1/{route}_lora_adapter", body) for url in both)
    assert real[0] >= 400
    assert stand_in == real


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/base", "/version", "/ping", "/health"])
def test_other_routes_answer_as_those_of_vllm(both, path):
    real, stand_in = (asked(url, "GET", path) for url in both)
    assert stand_in == real


def test_another_token_is_refused_as_by_vllm(both):
    real, stand_in = (asked(url, "GET", "/v1/models", token="another") for url in both)
    assert stand_in == real == (401, {"error": "Unauthorized"})


def test_a_wrong_method_is_refused_as_by_vllm(both):
    real, stand_in = (asked(url, "GET", "/v1/chat/completions") for url in both)
    assert stand_in == real
