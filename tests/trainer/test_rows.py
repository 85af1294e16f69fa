"""Rows become exactly the tokens that the model saw and wrote."""

from __future__ import annotations

import json

from burnish_trainer.rows import IGNORE, tokenise
from burnish_trainer.rows.merge import Call, merged, unique_tokens


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
    rows, report = tokenise([made.row(made.conversation(1234, 5678))], tokenizer)
    assert [tokenizer.decode(run) for run in learned(rows[0])] == [
        '<tool_call>{"name": "get_order", "arguments": {"order": 1234}}</tool_call><|im_end|>',
        "Done: 5678<|im_end|>",
    ]
    assert report.rendered == 1
    assert report.captured == 0


def test_the_whole_context_is_what_the_chat_template_gives_a_server(tokenizer, made):
    rows, _ = tokenise([made.row(made.conversation(1234, 5678))], tokenizer)
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
    rows, _ = tokenise([made.row(messages)], tokenizer)
    assert [tokenizer.decode(run) for run in learned(rows[0])] == ["Done: 5678<|im_end|>"]
    assert "get_order" in tokenizer.decode(rows[0].input_ids)


def recorded(tokenizer, messages, joint: str = "") -> list[dict]:
    """What a server would have told: each prompt with a mark in it that no template would write."""
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
    rows, report = tokenise([made.row(messages, calls)], tokenizer)
    assert report.captured == 1
    assert len(rows) == 1
    assert rows[0].input_ids == calls[-1]["prompt_token_ids"] + calls[-1]["token_ids"]
    assert learned(rows[0]) == [calls[0]["token_ids"], calls[1]["token_ids"]]


def test_a_recorded_reply_without_its_end_mark_gets_it(tokenizer, made):
    messages = made.conversation(1234, 5678)
    calls = recorded(tokenizer, messages)
    calls[-1]["token_ids"] = calls[-1]["token_ids"][:-1]
    rows, _ = tokenise([made.row(messages, calls)], tokenizer)
    assert rows[0].input_ids[-1] == tokenizer.eos_token_id
    assert rows[0].labels[-1] == tokenizer.eos_token_id


def test_tokens_of_another_tokenizer_are_not_believed(tokenizer, made):
    messages = made.conversation(1234, 5678)
    calls = [
        {**c, "prompt_token_ids": [i + 1 for i in c["prompt_token_ids"]]}
        for c in recorded(tokenizer, messages)
    ]
    _, report = tokenise([made.row(messages, calls)], tokenizer)
    assert (report.captured, report.rendered) == (0, 1)


def test_a_context_that_does_not_continue_the_last_one_starts_its_own_sequence():
    sequences = merged(
        [Call([1, 2], [3, 9]), Call([1, 2, 3, 9, 4], [5, 9]), Call([1, 2, 4], [6, 9])]
    )
    assert [s.ids for s in sequences] == [[1, 2, 3, 9, 4, 5, 9], [1, 2, 4, 6, 9]]
    assert sequences[1].labels == [IGNORE, IGNORE, IGNORE, 6, 9]


def test_a_template_that_strips_thinking_gives_one_sequence_per_call(made):
    """History differs from what was generated, so merging would train on contexts nobody ever saw."""
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
    rows, report = tokenise([made.row(messages)], tokenizer)
    assert report.sequences == 2
    assert "thought|first" not in tokenizer.decode(rows[1].input_ids)


def test_a_template_without_marks_gives_the_same_borders(tokenizer, made):
    plain = made.TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    marked, _ = tokenise([made.row(made.conversation(1234, 5678))], tokenizer)
    unmarked, _ = tokenise([made.row(made.conversation(1234, 5678))], made.tokenizer(plain))
    assert unmarked[0].input_ids == marked[0].input_ids
    assert unmarked[0].labels == marked[0].labels


def test_a_row_that_is_too_long_is_dropped_and_counted_and_never_cut(tokenizer, made):
    short, long = made.conversation(1, 2), made.conversation(1, 2)
    long[1]["content"] = "order " * 200
    rows, report = tokenise([made.row(short), made.row(long)], tokenizer, max_length=150)
    assert len(rows) == 1
    assert report.dropped == {"too long: over 150 tokens": 1}
    assert report.longest <= 150


def test_a_row_that_the_template_refuses_is_dropped_and_counted(tokenizer, made):
    strict = made.tokenizer("{{ raise_exception('roles must alternate') }}")
    rows, report = tokenise([made.row(made.conversation(1, 2))], strict)
    assert rows == []
    (reason,) = report.dropped
    assert "roles must alternate" in reason


def test_unique_tokens_are_the_nodes_of_the_prefix_trie():
    """[1,2,3] and [1,2,4] share two; [1,2,3] again adds none: 3 + 1."""
    assert unique_tokens([[1, 2, 3], [1, 2, 4], [1, 2, 3]]) == 4
