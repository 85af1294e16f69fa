"""EmbeddedChat is a LangChain chat model in all ways of calling it."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from burnish.errors import ServingError, UnknownAdapter
from burnish.serving import EmbeddedChat
from burnish.serving.embedded.engine import Engine
from burnish.serving.versions import content_sha256

CALL = {"name": "add", "args": {"a": [1]}, "type": "tool_call"}


@tool
def add(a: list) -> int:
    """Add things."""
    return sum(a)


@pytest.fixture(autouse=True, scope="module")
def _engines():
    yield
    Engine.close_shared()


@pytest.fixture
def chat(taught):
    return EmbeddedChat(str(taught), max_tokens=120)


def without_ids(message):
    calls = [{k: v for k, v in call.items() if k != "id"} for call in message.tool_calls]
    broken = [{k: v for k, v in call.items() if k != "id"} for call in message.invalid_tool_calls]
    metadata = dict(message.response_metadata)
    facts = {k: v for k, v in metadata.pop("burnish").items() if k != "tool_call_errors"}
    reasoning = message.additional_kwargs.get("reasoning_content")
    return (message.content, reasoning, calls, broken, metadata, facts, message.usage_metadata)


def test_an_answer_tells_everything_about_itself(chat, taught):
    message = chat.invoke("greet")
    facts = message.response_metadata["burnish"]
    assert message.content == "Hello there, Zoë!"
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.response_metadata["model_name"] == str(taught)
    assert (facts["adapter"], facts["arm"], facts["base_model"]) == (None, None, str(taught))
    assert len(facts["token_ids"]) == len(facts["logprobs"])
    assert message.usage_metadata == {
        "input_tokens": len(facts["prompt_token_ids"]),
        "output_tokens": len(facts["token_ids"]),
        "total_tokens": len(facts["prompt_token_ids"]) + len(facts["token_ids"]),
    }


def test_tool_calls_are_parsed_and_have_ids_of_their_own(chat):
    message = chat.bind_tools([add]).invoke("add")
    (call,) = message.tool_calls
    assert {k: v for k, v in call.items() if k != "id"} == CALL
    two = chat.invoke("two")
    assert [c["name"] for c in two.tool_calls] == ["add", "add"]
    assert len({call["id"], *(c["id"] for c in two.tool_calls)}) == 3
    assert message.content == "Sure."
    assert message.response_metadata["finish_reason"] == "tool_calls"


def test_a_malformed_tool_call_keeps_its_text(chat):
    message = chat.invoke("broken")
    (call,) = message.invalid_tool_calls
    assert message.tool_calls == []
    assert call["args"] == '<tool_call>{"name": "add", "argum'
    assert call["name"] == "add"
    assert "no JSON" in message.response_metadata["burnish"]["tool_call_errors"][call["id"]]


def test_reasoning_is_kept_apart(chat):
    message = chat.invoke("think")
    assert message.content == "Yes."
    assert message.additional_kwargs["reasoning_content"] == "hm"


@pytest.mark.parametrize("question", ["two", "think", "broken"])
async def test_all_ways_of_asking_give_the_same_message(chat, question):
    whole = without_ids(chat.invoke(question))
    assert without_ids(await chat.ainvoke(question)) == whole
    streamed = None
    for chunk in chat.stream(question):
        streamed = chunk if streamed is None else streamed + chunk
    assert without_ids(streamed) == whole
    streamed = None
    async for chunk in chat.astream(question):
        streamed = chunk if streamed is None else streamed + chunk
    assert without_ids(streamed) == whole
    assert without_ids(chat.batch([question])[0]) == whole


def test_a_stream_comes_token_by_token(chat):
    pieces = [chunk.content for chunk in chat.stream("greet")]
    assert len(pieces) > 10


def test_a_stream_that_is_left_stops_the_generation(taught):
    chat = EmbeddedChat(str(taught), max_tokens=1900, temperature=5.0, seed=1)
    engine = Engine.shared(str(taught))
    stream = chat.stream("nothing that it was taught")
    next(stream)
    stream.close()
    before = engine.counters["steps"]
    assert chat.invoke("greet", temperature=0.0).content == "Hello there, Zoë!"
    assert engine.counters["steps"] - before < 200


async def test_hundred_async_calls_share_batches_and_never_block_the_loop(chat, taught):
    engine = Engine.shared(str(taught))
    before = engine.counters
    beats = 0

    async def heart():
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    beating = asyncio.create_task(heart())
    said = await asyncio.gather(*[chat.ainvoke("greet") for _ in range(100)])
    beating.cancel()
    after = engine.counters
    assert {message.content for message in said} == {"Hello there, Zoë!"}
    assert after["requests"] - before["requests"] == 100
    assert after["steps"] - before["steps"] < 100 * 5
    assert beats > 100


def test_the_conversation_is_rendered_by_the_models_template(chat):
    messages = [
        SystemMessage("Be brief."),
        HumanMessage("add"),
        AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1"}]),
        ToolMessage("3", tool_call_id="c1"),
    ]
    bound = chat.bind_tools([add]).bind(max_tokens=1)
    ids = bound.invoke(messages).response_metadata["burnish"]["prompt_token_ids"]
    from burnish.serving.embedded.renderer import Renderer

    assert Renderer.shared(chat.base_model).decode(ids) == (
        "<|im_start|>system\nBe brief.\nadd<|im_end|>\n<|im_start|>user\nadd<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
        "<|im_end|>\n<|im_start|>tool\n3<|im_end|>\n<|im_start|>assistant\n"
    )


def test_tool_choice_none_hides_the_tools(chat):
    def asked(model):
        reply = model.bind(max_tokens=1).invoke([SystemMessage("x"), HumanMessage("add")])
        return len(reply.response_metadata["burnish"]["prompt_token_ids"])

    offered, hidden = chat.bind_tools([add]), chat.bind_tools([add], tool_choice="none")
    assert asked(offered) > asked(hidden) == asked(chat)


def test_the_seed_decides_what_is_drawn(taught):
    def say(seed):
        chat = EmbeddedChat(str(taught), temperature=3.0, max_tokens=12, seed=seed)
        return chat.invoke("greet").response_metadata["burnish"]["token_ids"]

    assert say(1) == say(1)
    assert say(1) != say(2)


def test_an_adapter_is_found_in_the_workspace_and_by_its_folder(base, adapters, home):
    name, folder = next(iter(adapters.items()))
    version = f"{name.partition('@')[0]}@{content_sha256(folder)[:12]}"
    plain = EmbeddedChat(str(base), max_tokens=8)
    by_folder = plain.invoke("x", adapter=str(folder))
    assert by_folder.response_metadata["burnish"]["adapter"] == version
    shutil.copytree(folder, home / "adapters" / "mine@123456789abc")
    shutil.copytree(folder, home / "adapters" / version)
    Engine.shared(str(base)).unload(version)
    by_version = EmbeddedChat(str(base), version, max_tokens=8).invoke("x")
    assert by_version.response_metadata["model_name"] == version
    assert by_version.content == by_folder.content != plain.invoke("x").content


def test_a_folder_that_is_trained_anew_is_another_version(base, tmp_path):
    from burnish.serving.embedded.tiny import make_adapter

    folder = tmp_path / "latest"
    chat = EmbeddedChat(str(base), str(make_adapter(folder, base, seed=1)), max_tokens=8)
    first = chat.invoke("x")
    make_adapter(folder, base, seed=2)
    second = chat.invoke("x")
    assert first.response_metadata["model_name"] != second.response_metadata["model_name"]
    assert first.content != second.content


def test_an_unknown_adapter_raises_in_every_way_of_asking(taught, home):
    chat = EmbeddedChat(str(taught), "gone@000000000000")
    with pytest.raises(UnknownAdapter):
        chat.invoke("greet")
    with pytest.raises(UnknownAdapter):
        list(chat.stream("greet"))
    with pytest.raises(UnknownAdapter):
        asyncio.run(chat.ainvoke("greet"))


def test_images_and_response_formats_are_refused(chat):
    with pytest.raises(ServingError, match="image"):
        chat.invoke([HumanMessage([{"type": "image_url", "image_url": {"url": "x"}}])])
    with pytest.raises(ServingError, match="with_structured_output"):
        chat.invoke("greet", response_format={"type": "json_object"})


def test_structured_output_goes_through_tools(chat):
    from pydantic import BaseModel

    class add(BaseModel):  # noqa: N801 - the name is what the model was taught to call
        """Add things."""

        a: list

    result = chat.with_structured_output(add).invoke("add")
    assert result.a == [1]


def test_an_agent_of_langgraph_runs_on_it(taught):
    from langchain.agents import create_agent

    graph = create_agent(EmbeddedChat(str(taught), max_tokens=120), [add])
    final = graph.invoke(
        {"messages": [("user", "add")]},
        {"recursion_limit": 3},
        stream_mode="values",
        interrupt_after=["tools"],
    )
    kinds = [message.type for message in final["messages"]]
    assert kinds == ["human", "ai", "tool"]
    assert final["messages"][-1].content == "1"


def test_importing_the_names_loads_no_model_library():
    import subprocess
    import sys

    code = "import burnish.serving, sys; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_thought_that_the_template_opens_is_reasoning_and_no_content(taught, tmp_path, streamed):
    folder = shutil.copytree(taught, tmp_path / "thinker")
    template = folder / "chat_template.jinja"
    opened = template.read_text().replace("assistant\\n'", "assistant\\n<think>\\n'")
    assert opened != template.read_text()
    template.write_text(opened)
    chat = EmbeddedChat(str(folder))
    if streamed:
        pieces = list(chat.stream("think"))
        message = sum(pieces[1:], pieces[0])
    else:
        message = chat.invoke("think")
    assert message.content == "Yes."
    assert message.additional_kwargs["reasoning_content"] == "hm"
