"""The starter's tokenizer and chat template: marks, prefixes, tools, steady tokens."""

import json

import pytest

from burnish_trainer.starter import weights_path
from burnish_trainer.starter.demonstrations import conversation, right_way, tool_schemas
from burnish_trainer.starter.world import project_module

IDS = [f"heldout-0-{index:03d}" for index in range(12)] + ["capability-0-003", "capability-0-010"]


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(weights_path())


def shown(task_id):
    task = project_module("tasks").task_of(task_id)
    way = right_way(task)
    return way, conversation(task, way), tool_schemas(task["desk"])


def text_of(tokenizer, messages, tools=None, **settings):
    return tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, **settings)


@pytest.mark.parametrize("task_id", IDS)
def test_exactly_what_the_assistant_writes_is_marked_with_its_end(tokenizer, task_id):
    way, messages, tools = shown(task_id)
    rendered = tokenizer.apply_chat_template(
        messages, tools=tools, return_assistant_tokens_mask=True, return_dict=True
    )
    pairs = zip(rendered["input_ids"], rendered["assistant_masks"], strict=True)
    marked = tokenizer.decode([token for token, mark in pairs if mark])
    calls = [
        f'<tool_call>{{"name": "{name}", "arguments": {json.dumps(arguments)}}}</tool_call>'
        for name, arguments in way.calls
    ]
    assert marked == "".join(part + "<|im_end|>" for part in [*calls, way.answer])


@pytest.mark.parametrize("task_id", IDS)
def test_a_longer_conversation_starts_with_the_shorter_one(tokenizer, task_id):
    _, messages, tools = shown(task_id)
    whole = text_of(tokenizer, messages, tools)
    for end in range(1, len(messages)):
        assert whole.startswith(text_of(tokenizer, messages[:end], tools))
        if messages[end]["role"] == "assistant":
            prompt = text_of(tokenizer, messages[:end], tools, add_generation_prompt=True)
            assert whole.startswith(prompt)
            tokens = tokenizer(prompt)["input_ids"]
            assert tokenizer(whole)["input_ids"][: len(tokens)] == tokens


def test_arguments_may_come_as_text_or_as_data(tokenizer):
    _, messages, tools = shown("heldout-0-002")
    as_text = text_of(tokenizer, messages, tools)
    for message in messages:
        for call in message.get("tool_calls", []):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    assert text_of(tokenizer, messages, tools) == as_text


def test_each_tool_is_one_signature_line(tokenizer):
    _, messages, tools = shown("heldout-0-000")
    system = text_of(tokenizer, messages[:1], tools)
    lines = ["find_customer(name?, card?)", "list_orders(customer)", "get_order(order)"]
    assert system.endswith("\n".join([*lines, "cancel_order(order)"]) + "<|im_end|>\n")


def test_tools_are_shown_without_a_system_message_too(tokenizer):
    _, messages, tools = shown("heldout-0-000")
    rendered = text_of(tokenizer, messages[1:2], tools)
    assert rendered.startswith("<|im_start|>system\nfind_customer(name?, card?)\n")
    assert rendered.count("<|im_start|>") == 2


def test_a_missing_content_is_nothing(tokenizer):
    rendered = text_of(tokenizer, [{"role": "assistant", "content": None}])
    assert rendered == "<|im_start|>assistant\n<|im_end|>\n"


def test_text_survives_the_tokenizer(tokenizer):
    text = 'Zürich, "x\\y" 12345\n\t{"a": [1, 2]} 日本 Kalomir'
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize("around", ["{}", "order {}: ", '{{"name": "{}"}}', "of {}?", "[1, {}]"])
@pytest.mark.parametrize("word", ["4827", "Kalomir"])
def test_a_number_or_a_name_is_the_same_tokens_wherever_it_stands(tokenizer, around, word):
    alone = tokenizer(word)["input_ids"]
    tokens = tokenizer(around.format(word))["input_ids"]
    windows = [tokens[i : i + len(alone)] for i in range(len(tokens))]
    assert alone in windows
