"""LLaMA-Factory, axolotl and ms-swift load our exports with their own code and learn exactly our replies."""

from __future__ import annotations

import json

import pytest
from consuming import read_with
from runs_by_hand import build_run
from shipped_templates import shipped_tokenizer
from trl.data_utils import apply_chat_template

from burnish import settings
from burnish_exporters import build_dataset

END, TEXT_AND_CALL = "<|im_end|>", "\n<tool_call>"


@pytest.fixture
def version(tmp_path):
    settings.configure(home=tmp_path / "home")
    runs = [build_run(n, calls=n + 1, failed=(0,) if n == 2 else ()) for n in range(3)]
    yield build_dataset(runs, agent="support", verify=["outcome"])
    settings.reset()


@pytest.fixture
def tokenizer(tmp_path):
    shipped_tokenizer("qwen3").save_pretrained(tmp_path / "tokenizer")
    return str(tmp_path / "tokenizer")


def spoken(message):
    """A reply as Qwen's templates write it."""
    calls = [
        f"<tool_call>\n{json.dumps({'name': c['function']['name'], 'arguments': json.loads(c['function']['arguments'])})}\n</tool_call>"
        for c in message.get("tool_calls") or ()
    ]  # fmt: skip
    return "\n".join([*filter(None, [message["content"]]), *calls])


def replies(row, *, learned=False):
    return [
        spoken(m) for m in row["messages"] if m["role"] == "assistant" and (m["loss"] or not learned)
    ]  # fmt: skip


def conversations(version):
    """The rows by their question."""
    return {row["messages"][1]["content"]: row for row in version.rows()}


def test_llama_factory_sees_our_turns_and_learns_each_reply(version, tokenizer, tmp_path):
    exported = list(version.export("sharegpt"))
    given = {"rows": exported, "tokenizer": tokenizer, "template": "qwen3_nothink"}
    found = read_with("llamafactory", given, tmp_path)
    ours = conversations(version)
    assert len(found) == len(ours) == 3
    for made in found:
        row = ours[made["turns"][0]["content"]]
        assert made["system"] == row["messages"][0]["content"]
        assert json.loads(made["tools"]) == [tool["function"] for tool in row["tools"]]
        results = [turn["content"] for turn in made["turns"] if turn["role"] == "observation"]
        assert results == [m["content"] for m in row["messages"] if m["role"] == "tool"]
        assert [text.removesuffix("\n") for text in made["learned"]] == [
            f"{reply}{END}" for reply in replies(row)
        ]
        assert all(json.dumps(tool) in made["text"] for tool in row["tools"])


@pytest.fixture
def parting(tmp_path):
    """A version of two runs that part at their first reply."""
    settings.configure(home=tmp_path / "home")
    runs = [
        build_run(n, calls=3, success=not n, task_id="t", request="Where is it?") for n in (0, 1)
    ]
    yield build_dataset(runs, agent="support", verify=["outcome"], recipe={"contrast": True})
    settings.reset()


def test_llama_factory_compares_our_two_replies_at_the_fork(parting, tokenizer, tmp_path):
    (pair,) = parting.export("trl-dpo-step-strings")
    exported = list(parting.export("sharegpt-dpo"))
    given = {
        "rows": exported,
        "ranking": True,
        "tokenizer": tokenizer,
        "template": "qwen3_nothink",
    }
    (found,) = read_with("llamafactory", given, tmp_path)
    assert found["system"] == pair["prompt"][0]["content"]
    assert json.loads(found["tools"]) == [tool["function"] for tool in pair["tools"]]
    learned = [found["learned"], found["rejected"]["learned"]]
    assert [[text.removesuffix("\n") for text in side] for side in learned] == [
        [f"{spoken(*pair[side])}{END}"] for side in ("chosen", "rejected")
    ]
    asked = [found["text"].removesuffix(*found["learned"])]
    asked.append(found["rejected"]["text"].removesuffix(*found["rejected"]["learned"]))
    assert asked[0] == asked[1]
    assert asked[0].endswith("Where is it?<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize(
    ("form", "source"), [("swift", {"message_field_training": "loss"}), ("trl-sft", {})]
)
def test_axolotl_renders_what_was_served_and_learns_each_reply(
    version, tokenizer, tmp_path, form, source
):
    given = {"rows": list(version.export(form)), "tokenizer": tokenizer, "source": source}
    found = read_with("axolotl", given, tmp_path)
    ours = conversations(version)
    assert len(found) == len(ours) == 3
    served = shipped_tokenizer("qwen3")
    for made in found:
        (row,) = (row for question, row in ours.items() if f"{question}{END}" in made["text"])
        chats = [{k: v for k, v in m.items() if k != "loss"} for m in row["messages"]]
        for chat in chats:
            chat["tool_calls"] = [_with_object(call) for call in chat.get("tool_calls") or ()]
        whole = served.apply_chat_template(chats, tools=row["tools"], tokenize=False)
        assert made["text"] == whole
        expected = replies(row, learned=form == "swift")
        assert made["learned"] == [f"{reply}{END}" for reply in expected]


def test_axolotl_passes_pairs_through_that_a_template_rendered(parting, tokenizer, tmp_path):
    (pair,) = parting.export("trl-dpo-step")
    rendered = apply_chat_template(pair, shipped_tokenizer("qwen3"), tools=pair["tools"])
    given = {"rows": [rendered], "tokenizer": tokenizer, "preferences": "passthrough"}
    (found,) = read_with("axolotl", given, tmp_path)
    assert found == rendered
    assert found["prompt"].endswith("Where is it?<|im_end|>\n<|im_start|>assistant\n")
    for side in ("chosen", "rejected"):
        (call,) = pair[side][0]["tool_calls"]
        assert json.dumps(call["function"]["arguments"]) in found[side]


def test_ms_swift_learns_each_reply_that_our_flags_name(version, tokenizer, tmp_path):
    given = {"rows": list(version.export("swift")), "tokenizer": tokenizer}
    found = read_with("swift", given, tmp_path)
    ours = conversations(version)
    assert len(found) == len(ours) == 3
    for made in found:
        (row,) = (row for question, row in ours.items() if f"{question}{END}" in made["text"])
        assert all(json.dumps(tool) in made["text"] for tool in row["tools"])
        for message in row["messages"]:
            if message["role"] == "tool":
                assert f"<tool_response>\n{message['content']}\n</tool_response>" in made["text"]
        # Its own template writes an empty thought, and no line break between a text and its call.
        assert made["learned"] == [
            f"<think>\n\n</think>\n\n{reply.replace(TEXT_AND_CALL, '<tool_call>')}{END}\n"
            for reply in replies(row, learned=True)
        ]


def _with_object(call):
    function = call["function"]
    return {**call, "function": {**function, "arguments": json.loads(function["arguments"])}}
