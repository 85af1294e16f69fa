"""Conversations keep their meaning between forms; names resolve to their files."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from shipped_templates import shipped_tokenizer

from burnish.errors import ServingError
from burnish.serving.contract.base_models import base_sha256, resolve_model
from burnish.serving.embedded.renderer import Renderer, TextStream
from burnish.serving.messages import from_langchain, from_records, to_wire, tools_from_records
from burnish.serving.versions import find_version, version_of

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}


def test_langchains_messages_and_the_records_give_the_same_chat():
    langchain = from_langchain(
        [
            HumanMessage([{"type": "text", "text": "Hi"}]),
            AIMessage("On it.", tool_calls=[{"name": "f", "args": {"x": 1}, "id": "c1"}]),
            ToolMessage("7", tool_call_id="c1"),
        ]
    )
    records = from_records(
        [
            {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
            {
                "role": "assistant",
                "parts": [
                    {"type": "text", "content": "On it."},
                    {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"x": 1}},
                ],
            },
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "c1", "response": "7"}],
            },
        ]
    )
    assert langchain == records
    assert records[1]["tool_calls"] == [CALL]
    assert from_records(to_wire(records)) == records
    assert to_wire(records)[1]["tool_calls"][0]["function"]["arguments"] == '{"x": 1}'


def test_a_malformed_call_goes_back_as_the_model_wrote_it():
    raw = '<tool_call>{"name": "f"'
    broken = {"name": "f", "args": raw, "id": "c", "error": None}
    (chat,) = from_langchain([AIMessage("Hm. ", invalid_tool_calls=[broken])])
    assert chat["content"] == f"Hm. {raw}"


def test_tools_of_the_records_become_openais():
    tool = {"type": "function", "name": "f", "description": "d", "parameters": {}}
    (openai,) = tools_from_records([tool])
    assert openai["function"] == {"name": "f", "description": "d", "parameters": {}}
    assert tools_from_records([openai]) == [openai]


def test_a_part_that_is_no_text_is_refused():
    with pytest.raises(ServingError, match="blob"):
        from_records([{"role": "user", "parts": [{"type": "blob"}]}])


def test_text_that_comes_token_by_token_never_holds_half_a_character(taught):
    renderer = Renderer.shared(taught)
    text = "Zoë sagt: 你好 🙂!"
    stream, said = TextStream(renderer), []
    for token in renderer.encode(text):
        said.append(stream.add_token(token))
        assert "\ufffd" not in said[-1]
    assert "".join(said) + stream.flush_text() == text


def test_a_template_that_refuses_a_conversation_is_named(base):
    with pytest.raises(ServingError, match="chat template of tiny"):
        Renderer.shared(base).render_ids([{"content": "who says this?"}])


def test_a_version_is_found_in_the_workspace_only_by_a_plain_name(home, adapters, tmp_path):
    (name, folder), *_ = adapters.items()
    assert find_version(name) is None
    (home / "adapters").mkdir(parents=True)
    (home / "adapters" / name).symlink_to(folder)
    assert find_version(name) == folder
    assert find_version("") is None
    assert find_version("..") is None
    assert find_version(str(tmp_path / "nowhere")) is None
    assert version_of(folder).startswith("one@")


def test_the_hash_of_a_base_is_over_its_weights(base, taught, tmp_path):
    assert base_sha256(base) == base_sha256(resolve_model(base)) != base_sha256(taught)
    with pytest.raises(ServingError, match=r"no \*.safetensors"):
        base_sha256(tmp_path)


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("gemma3", {"<eos>", "<end_of_turn>"}),
        ("phi3_5", {"<|endoftext|>", "<|end|>"}),
        ("glm4moe", {"<|endoftext|>", "<|user|>", "<|observation|>"}),
        ("gptoss", {"<|return|>", "<|call|>"}),
        ("gemma4_v5", {"<turn|>", "<|tool_response>"}),
        ("qwen3", {"<|im_end|>"}),
    ],
)
def test_a_model_stops_at_every_end_that_its_template_writes(name, ends, tmp_path):
    tokenizer = shipped_tokenizer(name)
    tokenizer.save_pretrained(tmp_path)
    stops = Renderer(tmp_path).find_stop_ids(frozenset())
    assert {tokenizer.decode([token]) for token in stops} == ends


@pytest.mark.parametrize("name", ["smolvlm", "deepseekv3", "qwen3", "gptoss"])
def test_a_prompt_holds_what_was_said_in_whatever_form_the_template_wants_it(name, tmp_path):
    shipped_tokenizer(name).save_pretrained(tmp_path)
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"a": "Oslo"}}}
    messages = [{"role": "user", "content": "Where is it?"}]
    if name != "smolvlm":  # it knows no tools
        messages += [
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "name": "f", "content": "found"},
        ]
    text = Renderer(tmp_path).render_text(messages)
    assert "Where is it?" in text
    assert name == "smolvlm" or '{"a": "Oslo"}' in text
