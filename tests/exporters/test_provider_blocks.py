"""Content blocks of every provider become text, reasoning and calls, each once, or are refused by name."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from burnish.capture.content.message_codec import encode_message
from burnish_exporters.rows import Unrenderable, to_chat

TEXT = {"type": "text", "text": "Let me see."}
CALL = {"name": "look_up", "args": {"order": 7}, "id": "c1", "type": "tool_call"}
USE = {"type": "tool_use", "id": "c1", "name": "look_up", "input": {"order": 7}}
ITEM = {
    "type": "function_call", "name": "look_up", "arguments": '{"order": 7}', "call_id": "c1", "id": "f1",
}  # fmt: skip


def chat_of(content, calls=(CALL,), **fields):
    message = AIMessage(content, tool_calls=list(calls), **fields)
    (chat,) = to_chat(encode_message(message))
    return chat


@pytest.mark.parametrize(
    ("content", "thought"),
    [
        pytest.param([TEXT, USE], None, id="Anthropic"),
        pytest.param([TEXT, {**USE, "caller": {"type": "direct"}}], None, id="Anthropic, newer"),
        pytest.param([{"type": "thinking", "thinking": "hm", "signature": "s"}, TEXT, USE], "hm", id="thinking"),
        pytest.param([{"type": "redacted_thinking", "data": "x"}, TEXT, USE], None, id="sealed"),
        pytest.param(
            [{"type": "reasoning_content", "reasoning_content": {"text": "hm", "signature": "s"}}, TEXT, USE],
            "hm", id="Bedrock",
        ),
        pytest.param(
            [{"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "Let me see.", "type": "text"},
             {"toolUse": {"toolUseId": "c1", "name": "look_up", "input": {"order": 7}}}],
            "hm", id="Bedrock, wire form",
        ),
        pytest.param([{**TEXT, "annotations": [], "id": "m1"}, ITEM], None, id="Responses"),
        pytest.param(
            [{"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "hm"}]}, TEXT, ITEM],
            "hm", id="Responses, reasoning",
        ),
        pytest.param(
            [{"type": "reasoning", "id": "r1", "summary": [], "encrypted_content": "x"}, TEXT, ITEM],
            None, id="Responses, sealed reasoning",
        ),
        pytest.param([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, TEXT], "hm", id="Mistral"),
        pytest.param([{"type": "thinking", "thinking": "hm"}, "Let me see."], "hm", id="Google"),
        pytest.param([TEXT, {"type": "non_standard", "value": USE}], None, id="standard content"),
    ],
)  # fmt: skip
def test_a_reply_is_text_thought_and_call_once(content, thought):
    chat = chat_of(content)

    assert chat["content"] == "Let me see."
    assert chat.get("reasoning_content") == thought
    assert [call["id"] for call in chat["tool_calls"]] == ["c1"]


def test_parallel_calls_that_the_content_repeats_stand_once_each():
    second = {**CALL, "id": "c2", "args": {"order": 8}}

    chat = chat_of([USE, {**USE, "id": "c2", "input": {"order": 8}}], [CALL, second])

    assert [call["id"] for call in chat["tool_calls"]] == ["c1", "c2"]


def test_a_streamed_call_is_not_repeated_by_its_pieces():
    pieces = [
        AIMessageChunk([{**TEXT, "index": 0}]),
        AIMessageChunk(
            [{"type": "tool_use", "id": "c1", "name": "look_up", "input": {}, "index": 1}],
            tool_call_chunks=[{"name": "look_up", "args": "", "id": "c1", "index": 1}],
        ),
        AIMessageChunk(
            [{"type": "input_json_delta", "partial_json": '{"order": 7}', "index": 1}],
            tool_call_chunks=[{"name": None, "args": '{"order": 7}', "id": None, "index": 1}],
        ),
    ]
    whole = pieces[0] + pieces[1] + pieces[2]

    (chat,) = to_chat(encode_message(whole))

    assert chat["content"] == "Let me see."
    assert [call["id"] for call in chat["tool_calls"]] == ["c1"]


def test_a_refusal_is_what_the_model_said():
    assert chat_of([{"type": "refusal", "refusal": "I cannot."}], ())["content"] == "I cannot."


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ({"type": "image_url", "image_url": {"url": "https://x.invalid/i.png"}}, "uri"),
        ({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}, "server_tool_use"),
        ({"type": "web_search_call", "id": "w1", "status": "completed"}, "web_search_call"),
        ({"type": "tool_use", "id": "other", "name": "look_up", "input": {}}, "tool_use without its call"),
        ({"type": "executable_code", "executable_code": "1"}, "executable_code"),
    ],
)  # fmt: skip
def test_what_no_row_can_hold_is_refused_by_name(block, named):
    with pytest.raises(Unrenderable, match=rf"malformed: {named} .*in an assistant message"):
        chat_of([TEXT, block])


IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBO"},
        {"type": "media", "mime_type": "image/png", "data": "iVBO"},
        {"type": "image", "base64": "iVBO", "mime_type": "image/png"},
        *IMAGE,
    ],
)
def test_an_image_of_any_provider_is_an_image_of_the_chat_form(block):
    (chat,) = to_chat(encode_message(HumanMessage([block])))

    assert chat["content"] == IMAGE
