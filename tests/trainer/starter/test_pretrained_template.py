"""The chat template of the pretrained example: exact rows, and calls that the server's parser reads back."""

import json
import sys
from pathlib import Path

import pytest

from burnish.serving.toolcalls.tool_syntax import detect_syntax
from burnish_trainer.rows.merge import IGNORE
from burnish_trainer.rows.token_rows import tokenise_rows
from burnish_trainer.starter.demonstrations import conversation, right_way, tool_schemas
from burnish_trainer.starter.world import project_module

FOLDER = Path(__file__).parents[3] / "examples" / "pretrained_desk"
TEMPLATE = (FOLDER / "chat_template.jinja").read_text()
KINDS = range(6)


@pytest.fixture(scope="module")
def tokenizer():
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from shipped_templates import byte_tokenizer

    return byte_tokenizer(TEMPLATE, end="<eos>", begin="<bos>")


def played(index):
    task = project_module("tasks").tasks("train", 6)[index]
    way = right_way(task)
    return way, conversation(task, way), tool_schemas(task["desk"])


@pytest.mark.parametrize("index", KINDS)
def test_a_conversation_is_one_row_in_which_the_model_s_turns_are_learned(tokenizer, index):
    way, messages, tools = played(index)
    row = {
        "messages": [{**m, "loss": m["role"] == "assistant"} for m in messages],
        "tools": tools,
        "calls": [],
    }
    ends = frozenset({tokenizer.convert_tokens_to_ids("<end_of_turn>")})

    (made,), report = tokenise_rows([row], tokenizer, end_ids=ends)

    assert report.dropped == {}
    assert tokenizer.decode(made.input_ids).startswith("<bos><start_of_turn>system\nYou are")
    learned = [i for i, label in zip(made.input_ids, made.labels, strict=True) if label != IGNORE]
    calls = [
        f'<tool_call>{{"name": "{name}", "arguments": {json.dumps(arguments)}}}</tool_call>'
        for name, arguments in way.calls
    ]
    assert tokenizer.decode(learned) == "".join(
        f"{part}<end_of_turn>" for part in (*calls, way.answer)
    )


@pytest.mark.parametrize("index", KINDS)
def test_the_template_s_own_marks_are_the_learned_tokens(tokenizer, index):
    way, messages, tools = played(index)
    rendered = tokenizer.apply_chat_template(
        messages, tools=tools, return_assistant_tokens_mask=True, return_dict=True
    )
    pairs = zip(rendered["input_ids"], rendered["assistant_masks"], strict=True)
    marked = tokenizer.decode([token for token, mark in pairs if mark])
    assert marked.count("<end_of_turn>") == len(way.calls) + 1
    assert marked.endswith(f"{way.answer}<end_of_turn>")
    assert "find_customer(name?, card?)" in tokenizer.decode(rendered["input_ids"])


def test_calls_are_in_a_syntax_that_serving_reads():
    assert detect_syntax(TEMPLATE, "gemma3_text") == "hermes"
