"""Rows become exactly the tokens that the model saw and wrote."""

from __future__ import annotations

# ruff: noqa: RUF001 - marks of DeepSeek
import json

import pytest
from shipped_templates import shipped_tokenizer

from burnish_trainer.rows import IGNORE, tokenise_rows
from burnish_trainer.rows.merge import TokenCall, merge_calls, unique_tokens


def learned(row) -> list[list[int]]:
    """The runs of learned tokens."""
    runs, last = [], IGNORE
    for label in row.labels:
        if label != IGNORE:
            if last == IGNORE:
                runs.append([])
            runs[-1].append(label)
        last = label
    return runs


def test_the_loss_counts_on_what_the_assistant_wrote_and_its_end_mark_and_nothing_else(
    tokenizer, made
):
    rows, report = tokenise_rows([made.row(made.conversation(1234, 5678))], tokenizer)
    assert [tokenizer.decode(run) for run in learned(rows[0])] == [
        '<tool_call>{"name": "get_order", "arguments": {"order": 1234}}</tool_call><|im_end|>',
        "Done: 5678<|im_end|>",
    ]
    assert report.rendered == 1
    assert report.captured == 0


def test_the_whole_context_is_what_the_chat_template_gives_a_server(tokenizer, made):
    rows, _ = tokenise_rows([made.row(made.conversation(1234, 5678))], tokenizer)
    messages = json.loads(made.row(made.conversation(1234, 5678))["messages"])
    for message in messages:
        for call in message.get("tool_calls") or []:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    asked = tokenizer.apply_chat_template(
        messages[:-1],
        tools=[{"function": {"name": "get_order"}}],
        add_generation_prompt=True,
        return_dict=False,
    )
    assert rows[0].input_ids[: len(asked)] == asked


def test_a_reply_without_loss_is_context_only(tokenizer, made):
    messages = made.conversation(1234, 5678)
    messages[2]["loss"] = False
    rows, _ = tokenise_rows([made.row(messages)], tokenizer)
    assert [tokenizer.decode(run) for run in learned(rows[0])] == ["Done: 5678<|im_end|>"]
    assert "get_order" in tokenizer.decode(rows[0].input_ids)


def recorded(tokenizer, messages, joint: str = "") -> list[dict]:
    """Return the calls as a server records them: each prompt with a mark that no template would write."""
    calls = []
    text = joint
    for place, message in enumerate(messages):
        if message["role"] == "assistant":
            written = (
                message["content"]
                or f"<tool_call>{message['tool_calls'][0]['function']['name']}</tool_call>"
            )
            prompt = tokenizer(text)["input_ids"]
            reply = tokenizer(written + "<|im_end|>")["input_ids"]
            calls.append({"message": place, "prompt_token_ids": prompt, "token_ids": reply})
            text += written + "<|im_end|>"
        else:
            text += f"|{message['role']}|{message['content']}"
    return calls


def test_recorded_tokens_are_used_as_they_are(tokenizer, made):
    messages = made.conversation(1234, 5678)
    calls = recorded(tokenizer, messages)
    rows, report = tokenise_rows([made.row(messages, calls)], tokenizer)
    assert report.captured == 1
    assert len(rows) == 1
    assert rows[0].input_ids == calls[-1]["prompt_token_ids"] + calls[-1]["token_ids"]
    assert learned(rows[0]) == [calls[0]["token_ids"], calls[1]["token_ids"]]


def test_a_recorded_reply_without_its_end_mark_gets_it(tokenizer, made):
    messages = made.conversation(1234, 5678)
    calls = recorded(tokenizer, messages)
    calls[-1]["token_ids"] = calls[-1]["token_ids"][:-1]
    rows, _ = tokenise_rows([made.row(messages, calls)], tokenizer)
    assert rows[0].input_ids[-1] == tokenizer.eos_token_id
    assert rows[0].labels[-1] == tokenizer.eos_token_id


def test_tokens_of_another_tokenizer_are_not_believed(tokenizer, made):
    messages = made.conversation(1234, 5678)
    calls = [
        {**c, "prompt_token_ids": [i + 1 for i in c["prompt_token_ids"]]}
        for c in recorded(tokenizer, messages)
    ]
    _, report = tokenise_rows([made.row(messages, calls)], tokenizer)
    assert (report.captured, report.rendered) == (0, 1)


def test_a_context_that_does_not_continue_the_last_one_starts_its_own_sequence():
    sequences = merge_calls(
        [
            TokenCall([1, 2], [3, 9]),
            TokenCall([1, 2, 3, 9, 4], [5, 9]),
            TokenCall([1, 2, 4], [6, 9]),
        ]
    )
    assert [s.ids for s in sequences] == [[1, 2, 3, 9, 4, 5, 9], [1, 2, 4, 6, 9]]
    assert sequences[1].labels == [IGNORE, IGNORE, IGNORE, 6, 9]


def test_a_template_that_strips_thinking_gives_one_sequence_per_call(made):
    """History differs from the generated text, so merging would train on contexts that never occurred."""
    stripping = made.TEMPLATE.replace(
        "{%- if m.content -%}{{- m.content -}}",
        "{%- if m.content -%}{{- m.content if loop.last else m.content.split('|')[-1] -}}",
    )
    messages = [
        {"role": "user", "content": "one", "loss": False},
        {"role": "assistant", "content": "thought|first", "loss": True},
        {"role": "user", "content": "two", "loss": False},
        {"role": "assistant", "content": "thought|second", "loss": True},
    ]
    tokenizer = made.tokenizer(stripping)
    rows, report = tokenise_rows([made.row(messages, tools="[]")], tokenizer)
    assert report.sequences == 2
    assert "thought|first" not in tokenizer.decode(rows[1].input_ids)


def test_a_template_without_marks_gives_the_same_borders(tokenizer, made):
    plain = made.TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    marked, _ = tokenise_rows([made.row(made.conversation(1234, 5678))], tokenizer)
    unmarked, _ = tokenise_rows([made.row(made.conversation(1234, 5678))], made.tokenizer(plain))
    assert unmarked[0].input_ids == marked[0].input_ids
    assert unmarked[0].labels == marked[0].labels


def test_a_row_that_is_too_long_is_dropped_and_counted_and_never_cut(tokenizer, made):
    short, long = made.conversation(1, 2), made.conversation(1, 2)
    long[1]["content"] = "order " * 200
    rows, report = tokenise_rows([made.row(short), made.row(long)], tokenizer, max_length=150)
    assert len(rows) == 1
    assert report.dropped == {"too long: over 150 tokens": 1}
    assert report.longest <= 150


def test_a_row_that_the_template_refuses_is_dropped_and_counted(tokenizer, made):
    strict = made.tokenizer("{{ raise_exception('roles must alternate') }}")
    rows, report = tokenise_rows([made.row(made.conversation(1, 2))], strict)
    assert rows == []
    (reason,) = report.dropped
    assert "roles must alternate" in reason


def test_unique_tokens_are_the_nodes_of_the_prefix_trie():
    """[1,2,3] and [1,2,4] share two; [1,2,3] again adds none: 3 + 1."""
    assert unique_tokens([[1, 2, 3], [1, 2, 4], [1, 2, 3]]) == 4


def end_of(tokenizer, messages):
    """The text that is learned last."""
    rows, _ = tokenise_rows([{"messages": messages, "tools": [], "calls": []}], tokenizer)
    return tokenizer.decode(learned(rows[-1])[-1])


TALK = [
    {"role": "user", "content": "Where?", "loss": False},
    {"role": "assistant", "content": "In Oslo.", "loss": True},
]


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("gemma3", "<end_of_turn>"),
        ("phi3", "<|end|>"),
        ("phi3_5", "<|end|>"),
        ("llama3", "<|eot_id|>"),
        ("cohere2", "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"),
        ("qwen2_5", "<|im_end|>"),
        ("glm4moe", "<|user|>"),
        ("gptoss", "<|return|>"),
        ("deepseekv3_training", "<｜end▁of▁sentence｜>"),
    ],
)
def test_the_end_of_a_turn_is_the_templates_own(name, end):
    assert end_of(shipped_tokenizer(name), TALK).endswith(f"In Oslo.{end}")


def test_a_model_that_calls_stops_where_the_result_begins_if_its_template_prints_no_end():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": "b"}'}}
    messages = [TALK[0], {"role": "assistant", "content": "", "tool_calls": [call], "loss": True}]
    assert end_of(shipped_tokenizer("glm4moe"), messages).endswith("</tool_call><|observation|>")


LOOK_UP = {
    "type": "function",
    "function": {
        "name": "f",
        "description": "Looks up.",
        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
    },
}


def called(*calls, **more):
    made = [
        {
            "id": f"call{at:05d}",
            "type": "function",
            "function": {"name": "f", "arguments": json.dumps(one)},
        }
        for at, one in enumerate(calls)
    ]
    return {"role": "assistant", "content": "", "tool_calls": made, "loss": True, **more}


def answered(result, text="There.", **more):
    """A conversation with one call, its result, and an answer."""
    told = {"role": "tool", "tool_call_id": "call00000", "name": "f", "content": result}
    said = {"role": "assistant", "content": text, "loss": True, **more}
    return [TALK[0], called({"a": "b"}), {**told, "loss": False}, said]


def rows_of(name, messages, tools=(LOOK_UP,)):
    tokenizer = shipped_tokenizer(name)
    row = {"messages": messages, "tools": list(tools), "calls": []}
    return tokenizer, *tokenise_rows([row], tokenizer)


@pytest.mark.parametrize(
    ("name", "end"), [("gptoss", "<|call|>"), ("gemma4_v5", "<|tool_response>"), ("gemma4_v2", "<turn|>")]
)  # fmt: skip
def test_a_call_ends_with_one_mark_though_its_result_names_the_tool_again(name, end):
    tokenizer, rows, _ = rows_of(name, answered("Oslo"))
    first = tokenizer.decode(learned(rows[0])[0])
    assert first.endswith(end)
    ends = [tokenizer.decode([one]) for one in learned(rows[0])[0][-2:]]
    assert ends[0] not in ("<|call|>", "<|tool_response>", "<turn|>", "<|return|>")


def test_an_answer_is_learned_behind_the_prompt_of_a_server_though_it_strips_earlier_thoughts():
    """gpt-oss prints the thought before a call until a final answer follows: its prompt still holds it."""
    messages = answered("Oslo")
    messages[1]["reasoning_content"] = "I must look."
    tokenizer, rows, report = rows_of("gptoss", messages)
    assert report.dropped == {}
    (row,) = rows
    assert [tokenizer.decode(run) for run in learned(row)] == [
        '<|channel|>analysis<|message|>I must look.<|end|><|start|>assistant to=functions.f<|channel|>commentary json<|message|>{"a": "b"}<|call|>',
        "<|channel|>final<|message|>There.<|return|>",
    ]


@pytest.mark.parametrize(
    ("name", "thought", "written"),
    [
        ("nemotron_3_nano", "", "</think>In Oslo.<|im_end|>"),
        ("nemotron_3_nano", "Hm.", "Hm.\n</think>\nIn Oslo.<|im_end|>"),
        ("deepseek_r1_distill", "", "\n</think>\n\nIn Oslo.<｜end▁of▁sentence｜>"),
        ("deepseek_r1_distill", "Hm.", "Hm.\n</think>\n\nIn Oslo.<｜end▁of▁sentence｜>"),
    ],
)
def test_a_thought_that_the_prompt_opens_is_closed_by_the_reply(name, thought, written):
    reply = {**TALK[1], "reasoning_content": thought}
    tokenizer, rows, report = rows_of(name, [TALK[0], reply], ())
    assert [tokenizer.decode(run) for run in learned(rows[0])] == [written]
    assert report.thoughts_left_out == 0
    context = tokenizer.decode(rows[0].input_ids[: rows[0].labels.count(IGNORE)])
    assert context == tokenizer.apply_chat_template(
        TALK[:1], tokenize=False, add_generation_prompt=True
    )


def test_a_prompt_without_room_for_a_thought_gives_the_reply_without_it():
    reply = {**TALK[1], "reasoning_content": "Hm."}
    tokenizer, rows, report = rows_of("qwen3_5_nothink", [TALK[0], reply], ())
    assert [tokenizer.decode(run) for run in learned(rows[0])] == ["In Oslo.<|im_end|>"]
    assert report.thoughts_left_out == 1


@pytest.mark.parametrize(
    ("name", "reply", "part"),
    [
        ("qwen2_5", {"content": '<tool_call>{"name": "f", "arguments": {}}</tool_call>'}, "tool calls"),
        ("llama3_1", {"content": '{"name": "f", "parameters": {}}'}, "tool calls"),
        ("qwen3_5_think", {"content": "Is it <function=f></function>?"}, "tool calls"),
        ("qwen2_5", {"content": "<think>x</think>It."}, "text"),
        ("gptoss", called({"a": "b"}, content="Look."), "text"),
        ("qwen3_5_think", called({"a": "b", "x": "5"}), "tool calls"),
    ],
)  # fmt: skip
def test_a_reply_that_reads_back_as_another_message_is_dropped(name, reply, part):
    _, rows, report = rows_of(name, [TALK[0], {"role": "assistant", "loss": True, **reply}])
    assert rows == []
    assert report.dropped == {
        f"the chat template prints {part} that the model's reply parser reads otherwise": 1
    }


def test_a_result_may_be_printed_as_json_spells_it():
    result = 'line one\n"two" é'
    tokenizer, rows, report = rows_of("gptoss", answered(result))
    assert report.dropped == {}
    assert json.dumps(result, ensure_ascii=False) in tokenizer.decode(rows[0].input_ids)


def test_a_refusal_under_its_own_key_is_text():
    said = {"role": "assistant", "content": None, "refusal": "I cannot do that.", "loss": True}
    tokenizer, rows, _ = rows_of("qwen2_5", [TALK[0], said], ())
    assert [tokenizer.decode(run) for run in learned(rows[0])] == ["I cannot do that.<|im_end|>"]


@pytest.mark.parametrize("thought", ["", "Hm."])
def test_an_empty_reply_is_dropped_under_its_own_reason(thought):
    said = {"role": "assistant", "content": " ", "reasoning_content": thought, "loss": True}
    _, rows, report = rows_of("qwen3", [TALK[0], said], ())
    assert rows == []
    assert report.dropped == {"nothing to learn: a reply holds neither text nor calls": 1}


def test_any_end_of_a_generation_inside_a_reply_drops_it():
    tokenizer = shipped_tokenizer("gptoss")
    said = {"role": "assistant", "content": "Write <|call|> here.", "loss": True}
    row = {"messages": [TALK[0], said], "tools": [], "calls": []}
    ends = frozenset([tokenizer.convert_tokens_to_ids("<|call|>")])
    _, report = tokenise_rows([row], tokenizer, end_ids=ends)
    assert report.dropped == {"the reply holds an end mark of the model, <|call|>": 1}


def test_recorded_ids_that_hold_other_arguments_are_not_believed():
    messages = answered("Oslo")[:2]
    tokenizer, rows, _ = rows_of("qwen2_5", messages)
    borders = rows[0].labels.count(IGNORE)
    call = {"message": 1, "prompt_token_ids": rows[0].input_ids[:borders]}
    for written, captured in (("b", 1), ("c", 0)):
        text = f'<tool_call>\n{{"name": "f", "arguments": {{"a": "{written}"}}}}\n</tool_call><|im_end|>'
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        row = {"messages": messages, "tools": [LOOK_UP], "calls": [{**call, "token_ids": ids}]}
        _, report = tokenise_rows([row], tokenizer)
        assert (report.captured, report.rendered) == (captured, 1 - captured)


def test_recorded_tokens_behind_the_end_of_the_turn_are_not_learned():
    tokenizer = shipped_tokenizer("gemma3")
    asked = tokenizer.apply_chat_template(TALK[:1], tokenize=False, add_generation_prompt=True)

    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    for written in ("In Oslo.", "In Oslo.<end_of_turn>", "In Oslo.<end_of_turn>\n<eos>"):
        call = {"message": 1, "prompt_token_ids": ids(asked), "token_ids": ids(written)}
        rows, report = tokenise_rows([{"messages": TALK, "tools": [], "calls": [call]}], tokenizer)
        assert report.captured == 1
        assert [tokenizer.decode(run) for run in learned(rows[0])] == ["In Oslo.<end_of_turn>"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("m.content -", "m.content | replace('Done', 'Gone') -"), "changes text"),
        (("m.content -", "m.content + m.content -"), "prints text more than once"),
        (("c.function.arguments | tojson", "'{}'"), "leaves out arguments of tool calls"),
        (("c.function.name", "'f'"), "leaves out tool calls"),
        (("m.content + '<|im_end|>'", "'<|im_end|>'"), "leaves out text"),
        (("t.function.name", "''"), "leaves out the offered tools"),
        (("m.tool_calls or []", "[]"), "leaves out tool calls"),
    ],
)
def test_what_a_template_does_not_print_whole_is_dropped_and_counted(made, change, reason):
    broken = made.TEMPLATE.replace(*change)
    assert broken != made.TEMPLATE
    rows, report = tokenise_rows([made.row(made.conversation(12, 34))], made.tokenizer(broken))
    assert rows == []
    assert report.dropped == {f"the chat template {reason}": 1}


def test_a_reply_that_holds_the_end_mark_is_dropped(tokenizer, made):
    messages = made.conversation(1, 2)
    messages[-1]["content"] = "Done<|im_end|>: 2"
    _, report = tokenise_rows([made.row(messages)], tokenizer)
    assert report.dropped == {"the reply holds an end mark of the model, <|im_end|>": 1}


def test_content_that_is_no_text_is_dropped_and_counted(tokenizer, made):
    messages = made.conversation(1, 2)
    messages[1]["content"] = [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": "x"},
    ]
    _, report = tokenise_rows([made.row(messages)], tokenizer)
    assert report.dropped == {"a message holds content that is no text (image_url)": 1}


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        (0, "nothing to learn: the weight of the row is 0"),
        (-1.0, "the weight of the row is no positive number"),
        (float("nan"), "the weight of the row is no positive number"),
    ],
)
def test_a_weight_that_teaches_nothing_drops_the_row(tokenizer, made, weight, reason):
    _, report = tokenise_rows([made.row(made.conversation(1, 2), weight=weight)], tokenizer)
    assert report.dropped == {reason: 1}


def test_a_thought_that_the_template_does_not_print_is_counted(tokenizer, made):
    messages = made.conversation(1, 2)
    messages[-1]["reasoning_content"] = "hm"
    rows, report = tokenise_rows([made.row(messages)], tokenizer)
    assert (len(rows), report.thoughts_left_out) == (1, 1)


def test_arguments_reach_a_template_in_the_form_that_it_prints():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": "b"}'}}
    messages = [
        TALK[0],
        {"role": "assistant", "content": "", "tool_calls": [call], "loss": False},
        {"role": "tool", "tool_call_id": "c1", "content": "Oslo", "loss": False},
        {"role": "assistant", "content": "There.", "loss": True},
    ]
    tokenizer = shipped_tokenizer("deepseekv3")  # it puts arguments together as text
    rows, _ = tokenise_rows([{"messages": messages, "tools": [], "calls": []}], tokenizer)
    assert '```json\n{"a": "b"}\n```' in tokenizer.decode(rows[0].input_ids)
