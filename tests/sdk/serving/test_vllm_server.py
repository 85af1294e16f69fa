"""The stand-in for vLLM: its refusals, the fields of its answers, its streams (measured with vLLM 0.32)."""

from __future__ import annotations

import json

import httpx
import pytest

import burnish
from burnish.serving.embedded.engine import Engine
from burnish.serving.remote.chat_model import make_remote_chat
from burnish.testing import VllmServer

TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def server(taught):
    engine = Engine(taught)
    with VllmServer(taught, engine=engine) as server:
        yield server
    engine.close()


def post(server, path, **body):
    return httpx.post(f"{server.url}/v1/{path}", json=body, timeout=60)


def chat(server, said="greet", **body):
    return post(
        server,
        "chat/completions",
        **{"messages": [{"role": "user", "content": said}], "temperature": 0, **body},
    )


REFUSED = {
    "no answer of three thousand tokens": ({"max_tokens": 3000}, 400, "max_model_len=2048"),
    "too hot": ({"temperature": 3}, 400, "temperature must be in [0, 2], got 3.0."),
    "no top_p": ({"top_p": 0}, 400, "top_p must be in (0, 1], got 0.0."),
    "words for numbers": ({"seed": "x"}, 400, "1 validation error:"),
    "no tools": ({"tools": []}, 400, "`tools` must not be an empty array."),
    "choice": ({"tool_choice": "auto"}, 400, "When using `tool_choice`, `tools` must be set."),
    "likeliest": ({"top_logprobs": 2}, 400, "`logprobs` must be set to true."),
    "stop": ({"stop": [""]}, 400, "stop cannot contain an empty string."),
    "no messages": ({"messages": []}, 400, "Provide at least one message."),
    "long": (
        {"messages": [{"role": "user", "content": "a" * 2100}]},
        400,
        "context length is 2048",
    ),
    "model": ({"model": "zz"}, 404, "The model `zz` does not exist. Valid aliases: base."),
    "several": ({"n": 2}, 501, "several answers at once"),
    "forced call": ({"tools": TOOLS, "tool_choice": "required"}, 501, 'tool_choice = "required"'),
    "schema": ({"response_format": {"type": "json_object"}}, 501, "response_format"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_answered_is_refused_in_the_words_of_vllm(server, name):
    body, status, told = REFUSED[name]
    answer = chat(server, **body)
    assert answer.status_code == status
    assert told in answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] == status


def test_calls_are_taken_all_or_none_and_text_behind_them_is_dropped(server):
    def message(said, **body):
        return chat(server, said, **body).json()["choices"][0]["message"]

    called = message("add", tools=TOOLS)
    assert called["content"] == "Sure. "
    assert json.loads(called["tool_calls"][0]["function"]["arguments"]) == {"a": [1]}
    broken = message("broken", tools=TOOLS)
    assert broken["content"] == '<tool_call>{"name": "add", "argum'
    assert "tool_calls" not in broken
    bare = 'Sure. {"name": "add", "arguments": {"a": [1]}}'
    for unread in (message("add"), message("add", tools=TOOLS, tool_choice="none")):
        assert unread["content"] == bare
        assert "tool_calls" not in unread
    pieces = make_remote_chat(server.url, "base", temperature=0.0).stream("add")
    assert "".join(str(piece.content) for piece in pieces) == bare


def test_an_adapter_is_refused_as_by_the_process_that_calculates(server, tmp_path):
    refused = {"r": 32, "peft_type": "LORA"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(refused))
    answer = post(server, "load_lora_adapter", lora_name="x", lora_path=str(tmp_path))
    assert answer.status_code == 500
    assert answer.json()["error"]["message"].startswith(
        "Call to add_lora method failed: Worker failed with error 'LoRA rank 32 is greater than"
    )
    assert post(server, "load_lora_adapter", lora_name="x").json()["error"]["type"] == "Bad Request"
    taken = post(server, "load_lora_adapter", lora_name="base", lora_path=str(tmp_path))
    assert "conflicts with a served base model" in taken.text


def test_each_token_of_a_completion_has_its_likeliest(server):
    body = {"prompt": [9, 10], "max_tokens": 3, "temperature": 0, "logprobs": 2}
    plain = post(server, "completions", **body).json()["choices"][0]["logprobs"]
    named = post(server, "completions", return_tokens_as_token_ids=True, **body)
    logprobs = named.json()["choices"][0]["logprobs"]
    assert [len(top) for top in logprobs["top_logprobs"]] == [2, 2, 2]
    assert all(token.startswith("token_id:") for token in logprobs["tokens"])
    assert not any(token.startswith("token_id:") for token in plain["tokens"])


def test_a_streamed_call_is_recorded_with_the_tokens_that_were_served(server, home):
    whole = chat(server, "add", tools=TOOLS, return_token_ids=True).json()
    model = make_remote_chat(server.url, "base", temperature=0.0).bind_tools(TOOLS)
    with burnish.trace(agent="support"):
        assert list(model.stream("add"))
    burnish.flush()
    workspace = burnish.Workspace()
    (entry,) = workspace.entries()
    (call,) = workspace.trajectory(entry.id).model_calls
    assert call.token_ids == whole["choices"][0]["token_ids"]
    assert call.prompt_token_ids == whole["prompt_token_ids"]
    assert call.logprobs is not None
    assert len(call.logprobs) == len(call.token_ids)
