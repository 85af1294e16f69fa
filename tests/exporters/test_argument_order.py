"""Arguments are learned as the model wrote them, wherever its own text was recorded."""

import msgspec

from burnish.records import Verdict
from burnish_exporters.rows import build_rows

YES = Verdict(label="success", verifier="test")
RAW = '{"reason":  "late", "order": 1}'


def raw_in(message):
    parts = [
        {**part, "raw_arguments": RAW, "arguments": {"order": 1, "reason": "late"}}
        if part["type"] == "tool_call"
        else part
        for part in message["parts"]
    ]
    return {**message, "parts": parts}


def raw_reply(run, *, in_prompts):
    """A run whose first reply was recorded with the model's own text; later prompts may lack it."""
    first, second = run.model_calls
    said = second.messages[2]
    plain = raw_in(said)
    plain["parts"] = [{k: v for k, v in p.items() if k != "raw_arguments"} for p in plain["parts"]]
    messages = [*second.messages[:2], raw_in(said) if in_prompts else plain, *second.messages[3:]]
    calls = [
        msgspec.structs.replace(first, reply=raw_in(first.reply)),
        msgspec.structs.replace(second, messages=messages),
    ]
    return msgspec.structs.replace(run, model_calls=calls)


def test_a_reply_keeps_its_text_and_the_run_stays_one_row(make_run):
    for in_prompts in (True, False):
        rows, problem = build_rows(
            raw_reply(make_run(1), in_prompts=in_prompts), YES, split="train"
        )

        assert problem is None
        (row,) = rows
        assert row.messages[2]["tool_calls"][0]["function"]["arguments"] == RAW
        assert [m["loss"] for m in row.messages] == [False, False, True, False, True]


def test_a_prompt_with_another_argument_is_another_context(make_run):
    run = raw_reply(make_run(1), in_prompts=False)
    text = msgspec.json.encode(run.model_calls[1]).replace(b'"reason":"late"', b'"reason":"lost"')
    second = msgspec.json.decode(text, type=type(run.model_calls[1]))
    run = msgspec.structs.replace(run, model_calls=[run.model_calls[0], second])

    rows, _ = build_rows(run, YES, split="train")

    assert len(rows) == 2
