"""Every message survives the way to the records' form and back, exactly."""

import json
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from burnish.capture.content.chat_form import decode_chat, encode_chat
from burnish.capture.content.message_codec import decode_message, encode_message
from burnish.capture.content.request_parameters import decode_tool, encode_tool
from burnish.journal.events import canonical, from_json

texts = st.text(max_size=12)
names = st.text("abcxyz_", min_size=1, max_size=6)
leaves = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | texts
)
plain = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(names, plain, max_size=3)

blocks = st.one_of(
    texts,
    st.builds(lambda text, more: {**more, "type": "text", "text": text}, texts, objects),
    st.builds(lambda text: {"type": "reasoning", "reasoning": text, "extras": {"s": 1}}, texts),
    st.builds(
        lambda text, sign: {"type": "thinking", "thinking": text, "signature": sign}, texts, texts
    ),
    st.builds(
        lambda data, mime: {
            "type": "image_url",
            "image_url": {"url": f"data:{mime};base64,{data}", "detail": "low"},
        },
        texts,
        st.sampled_from(["image/png", "", "a;b"]),
    ),
    st.builds(lambda url: {"type": "image_url", "image_url": {"url": url}}, texts),
    st.builds(
        lambda kind, spelling, data: {"type": kind, **spelling(data), "mime_type": "a/b"},
        st.sampled_from(["image", "audio", "video", "file"]),
        st.sampled_from(
            [
                lambda data: {"base64": data},
                lambda data: {"source_type": "base64", "data": data},
                lambda data: {"source_type": "base64", "base64": data},
                lambda data: {"base64": data, "data": data},
                lambda data: {"url": data},
                lambda data: {"source_type": "url", "url": data},
                lambda data: {"file_id": data},
            ]
        ),
        texts,
    ),
    st.builds(lambda more: {**more, "type": "tool_use", "id": "x", "input": {}}, objects),
    st.builds(
        lambda kind, more: {**more, "type": kind},
        st.sampled_from(["blob", "uri", "verbatim", "tool_call", "text", "reasoning", "else"]),
        st.dictionaries(
            st.sampled_from(["content", "block", "text", "value", "id", "reasoning"]), plain
        ),
    ),
)
contents = texts | st.lists(blocks, max_size=3)
calls = st.lists(
    st.builds(
        lambda name, args, call_id: {
            "name": name,
            "args": args,
            "id": call_id,
            "type": "tool_call",
        },
        texts,
        objects,
        st.none() | texts,
    ),
    max_size=2,
)
invalid = st.lists(
    st.builds(
        lambda args, error: {
            "name": "n",
            "args": args,
            "id": "i",
            "error": error,
            "type": "invalid_tool_call",
        },
        st.none() | texts,
        st.none() | texts,
    ),
    max_size=2,
)
common = {
    "content": contents,
    "name": st.none() | texts,
    "id": st.none() | texts,
    "additional_kwargs": objects | st.builds(lambda t: {"reasoning_content": t, "x": 1}, texts),
    "response_metadata": objects,
}


def built(kind, **fields):
    """Return a message as validation leaves it, without the changes that validation itself makes."""
    return st.builds(kind.model_construct, **common, **fields)


def showing(message, more, shown):
    """Return the message with some of its calls in its content too, as LangChain's v1 has them."""
    if isinstance(message.content, list):
        blocks = [{**more, **call} for call in message.tool_calls[:shown]]
        message.content = [*message.content, *blocks, "after"]
    return message


messages = st.one_of(
    built(HumanMessage),
    st.builds(
        showing,
        built(AIMessage, tool_calls=calls, invalid_tool_calls=invalid),
        st.dictionaries(st.sampled_from(["index", "extras", "block", "value"]), plain),
        st.integers(1, 2),
    ),
    built(SystemMessage),
    built(
        AIMessage,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=st.none()
        | st.just({"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
    ),
    built(
        ToolMessage,
        tool_call_id=texts,
        artifact=plain,
        status=st.sampled_from(["success", "error"]),
    ),
    built(FunctionMessage),
    built(ChatMessage, role=texts),
)


@settings(max_examples=400, suppress_health_check=list(HealthCheck), deadline=None)
@given(messages)
def test_any_message_survives_storage(message):
    stored = from_json(canonical(encode_message(message)))

    again = decode_message(stored)

    assert type(again) is type(message)
    assert as_stored(again) == as_stored(message)


def as_stored(message):
    fields = {key: value for key, value in message.__dict__.items() if value is not None}
    return canonical(fields | (message.__pydantic_extra__ or {}))


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("hi", name="Ann", id="m1"),
        SystemMessage([{"type": "text", "text": "be", "cache_control": {"type": "ephemeral"}}]),
        AIMessage("hi", tool_calls=[{"name": "a", "args": {"x": 1.5}, "id": "c"}]),
        AIMessage([{"type": "thinking", "thinking": "t", "signature": "s"}, "bare"]),
        AIMessageChunk(
            "hi",
            tool_call_chunks=[{"name": "a", "args": '{"x"', "id": "c", "index": 0}],
            chunk_position="last",
        ),
        ToolMessage("r", tool_call_id="c", artifact={"rows": [1]}, status="error"),
        RemoveMessage("m1"),
        ChatMessage("hi", role="critic"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_messages_of_each_class_are_equal_after_the_round_trip(message):
    assert decode_message(from_json(canonical(encode_message(message)))) == message


def test_the_form_is_that_of_the_conventions():
    message = AIMessage(
        "I look.",
        additional_kwargs={"reasoning_content": "which tool?"},
        tool_calls=[{"name": "look", "args": {"at": 1}, "id": "c1"}],
    )

    assert encode_message(message) == {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "which tool?", "block": "reasoning_content"},
            {"type": "text", "content": "I look."},
            {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": 1}},
        ],
    }
    assert encode_message(ToolMessage("3", tool_call_id="c1", name="look")) == {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "id": "c1", "response": "3"}],
        "name": "look",
    }


functions = st.builds(
    lambda name, more: {**more, "name": name, "parameters": {"type": "object"}}, names, objects
)
tools = st.one_of(
    st.builds(lambda f, more: {**more, "type": "function", "function": f}, functions, objects),
    st.builds(lambda f: {"function": f}, functions),
    functions,
    st.builds(lambda f: {**f, "type": "function"}, functions),
    st.builds(lambda n, s: {"name": n, "input_schema": s, "description": "d"}, names, objects),
    st.builds(lambda t, n: {"type": t, "name": n, "input_schema": {}}, names, names),
    st.builds(lambda t, more: {**more, "type": t}, names, objects),
)


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(tools)
def test_any_tool_definition_can_be_given_back_as_it_was_sent(tool):
    assert decode_tool(from_json(canonical(encode_tool(tool)))) == tool


chat_calls = st.builds(
    lambda name, raw, more: {
        **more,
        "id": "c",
        "type": "function",
        "function": {"name": name, "arguments": raw},
    },
    names,
    texts | st.just('{"a": 1}'),
    objects,
)
chat_messages = st.one_of(
    st.builds(
        lambda role, content, more: {**more, "role": role, "content": content},
        st.sampled_from(["system", "user", "assistant", "developer"]),
        st.none() | texts | st.lists(blocks.filter(lambda b: not isinstance(b, str)), max_size=2),
        st.dictionaries(st.sampled_from(["name", "reasoning_content", "refusal"]), texts),
    ),
    st.builds(
        lambda content, calls: {"role": "assistant", "content": content, "tool_calls": calls},
        st.none() | texts,
        st.lists(chat_calls, max_size=2),
    ),
    st.builds(lambda text: {"role": "tool", "tool_call_id": "c", "content": text}, texts),
)


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(chat_messages)
def test_any_openai_message_can_be_given_back_as_it_was_sent(message):
    stored = from_json(canonical(encode_chat(message)))

    assert json.dumps(decode_chat(stored), sort_keys=True) == json.dumps(message, sort_keys=True)


class OwnMessage(AIMessage):
    type: Literal["own"] = "own"


def test_a_message_class_of_ones_own_keeps_its_calls():
    call = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}

    encoded = encode_message(OwnMessage("I add.", tool_calls=[call]))

    assert (encoded["role"], encoded["class"]) == ("own", "own")
    assert [part["type"] for part in encoded["parts"]] == ["text", "tool_call"]
