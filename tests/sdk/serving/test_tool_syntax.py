"""A call that a model's own chat template prints is read back, for every syntax and every division into pieces."""
# ruff: noqa: RUF001 - marks of DeepSeek

from __future__ import annotations

import json
import random

import pytest
from shipped_templates import shipped_tokenizer, template_names, template_text

from burnish.serving.toolcalls.reply_parser import ParsedReply, ReplyParser, parse_reply
from burnish.serving.toolcalls.tool_syntax import SYNTAXES, detect_syntax

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Looks something up.",
            "parameters": {
                "type": "object",
                "properties": {
                    "q": {"type": "string"},
                    "n": {"type": "integer"},
                    "o": {"type": "object"},
                    "l": {"type": "array", "items": {"type": "string"}},
                    "b": {"type": "boolean"},
                    "f": {"type": "number"},
                },
            },
        },
    }
]
HARD = {
    "q": 'say "hi" {now}\n</tool_call> 7',
    "n": 7,
    "o": {"a": [1, "x"]},
    "l": ["a", "b"],
    "b": True,
    "f": 1.5,
}
REPLIES = {
    "one": ("", [HARD]),
    "no arguments": ("", [{}]),
    "a number as text": ("", [{"q": "5"}]),
    "two": ("", [HARD, {"q": "x"}]),
    "beside text": ("Let me look.", [{"q": "x"}]),
}
# What templates cannot print, by their beginning; the trainer drops such rows.
LOST = {
    "cohere2": set(REPLIES),
    "deepseek_r1": set(REPLIES),
    "gptoss": {"two", "beside text"},
    "llama3": {"two", "beside text"},
    "muse_glimmer": {"beside text"},
}
SYNTAX_OF = {name: detect_syntax(template_text(name)) for name in template_names()}


def rendered(name, content, arguments):
    """Return the template's text of a reply after its question, without the end of the turn."""
    tokenizer = shipped_tokenizer(name)
    calls = [
        {
            "id": f"call{at:05d}",
            "type": "function",
            "function": {"name": "look_up", "arguments": one},
        }
        for at, one in enumerate(arguments)
    ]
    if name == "deepseekv3":  # it prints arguments that are text already
        for call in calls:
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    asked = [{"role": "user", "content": "Where?"}]
    reply = {"role": "assistant", "content": content, "tool_calls": calls}
    whole = tokenizer.apply_chat_template([*asked, reply], tools=TOOLS, tokenize=False)
    context = tokenizer.apply_chat_template(
        asked, tools=TOOLS, tokenize=False, add_generation_prompt=True
    )
    if not whole.startswith(context):  # the prompt opens a thought that the template never prints
        context = context[: context.rindex("<think>")]
        whole = whole.replace("<think></think>", "")
    text = whole[len(context) :].rstrip("\n")
    for end in ("<|im_end|>", "<｜end▁of▁sentence｜>", "<|eot_id|>", tokenizer.eos_token):
        text = text.removesuffix(end)
    return text, context.rstrip().endswith("<think>")


def facts(reply):
    return (
        reply.content,
        reply.reasoning,
        [(call.name, call.arguments, call.error) for call in reply.calls],
    )


def in_pieces(text, seed, **given):
    rng, parser, reply, at = random.Random(seed), ReplyParser(**given), ParsedReply(), 0
    while at < len(text):
        size = rng.choice((1, 1, 2, 3, 7, 40))
        for piece in parser.feed(text[at : at + size]):
            reply.add(piece)
        at += size
    for piece in parser.close():
        reply.add(piece)
    return reply


@pytest.mark.parametrize("name", [name for name, syntax in SYNTAX_OF.items() if syntax])
def test_what_a_template_prints_is_read_back_whole_and_in_pieces(name):
    lost = next((kinds for start, kinds in LOST.items() if name.startswith(start)), set())
    for kind, (content, arguments) in REPLIES.items():
        if kind in lost:
            continue
        text, in_thought = rendered(name, content, arguments)
        given = {"syntax": SYNTAX_OF[name], "tools": TOOLS, "in_thought": in_thought}
        reply = parse_reply(text, **given)
        assert reply.content == content, kind
        assert [(call.name, call.arguments) for call in reply.calls] == [
            ("look_up", one) for one in arguments
        ], kind
        for seed in range(3):
            assert facts(in_pieces(text, seed, **given)) == facts(reply), kind


def test_every_syntax_is_met_in_a_template_or_written_out_below():
    assert {*SYNTAX_OF.values(), "mistral", "cohere"} - {None} == set(SYNTAXES)


WRITTEN = [
    ("hermes", '<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call>'),
    ("mistral", '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}, "id": "abc123def"}]'),
    ("mistral", '[TOOL_CALLS]f[ARGS]{"a": 1}'),
    ("mistral", '[TOOL_CALLS]f[CALL_ID]abc123def[ARGS]{"a": 1}'),
    ("mistral", '[TOOL_CALLS][{"function": {"name": "f", "arguments": "{\\"a\\": 1}"}}]'),
    ("llama3", '{"name": "f", "parameters": {"a": 1}}'),
    ("llama3", '<|python_tag|>{"name": "f", "parameters": {"a": 1}}'),
    ("llama3", '<|python_tag|>{"type": "function", "name": "f", "parameters": {"a": 1}}'),
    ("llama3", "<|python_tag|>f.call(a=1)"),
    ("xml", "<function=f>\n<parameter=a>\n1\n</parameter>\n</function>"),
    ("deepseek", '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{"a": 1}<｜tool▁call▁end｜>'),
    ("deepseek", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": 1}\n```<｜tool▁call▁end｜>"),
    ("harmony", '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>'),
    ("harmony", '<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.f<|message|>{"a": 1}'),
    ("gemma", "```tool_code\nf(a=1)\n```"),
    ("gemma", "```tool_code\nprint(f(a=1))\n```"),
    ("gemma", "<start_function_call>call:f{a:1}<end_function_call>"),
    ("gemma", "<|channel>thought\nhm<channel|><|tool_call>call:f{a:1}<tool_call|>"),
    ("lfm2", "<|tool_call_start|>[f(a=1)]<|tool_call_end|>"),
    ("cohere", '<|START_ACTION|>[\n{"tool_call_id": "0", "tool_name": "f", "parameters": {"a": 1}}\n]<|END_ACTION|>'),
]  # fmt: skip


@pytest.mark.parametrize(("syntax", "text"), WRITTEN)
def test_other_forms_of_a_syntax_are_read_too(syntax, text):
    for given in (text, f"\n{text}", text + "\n"):
        reply = parse_reply(given, syntax)
        assert [(call.name, call.arguments) for call in reply.calls] == [("f", {"a": 1})]
        assert reply.content == ""
        assert facts(in_pieces(given, 1, syntax=syntax)) == facts(reply)


@pytest.mark.parametrize(
    ("syntax", "text"), [*WRITTEN, *((s, t * 2) for s, t in WRITTEN if ".call(" not in t)]
)
def test_a_call_that_is_cut_off_anywhere_is_never_called_with_less(syntax, text):
    whole = [(call.name, call.arguments) for call in parse_reply(text, syntax).calls]
    for end in range(len(text)):
        reply = parse_reply(text[:end], syntax)
        read = [(c.name, c.arguments) for c in reply.calls if c.arguments is not None]
        assert read == whole[: len(read)]
        assert facts(in_pieces(text[:end], end, syntax=syntax)) == facts(reply)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", '[1, {"x": NaN}]'])
@pytest.mark.parametrize(
    ("syntax", "form"),
    [
        ("hermes", '<tool_call>{"name": "f", "arguments": {"a": %s}}</tool_call>'),
        ("llama3", '{"name": "f", "parameters": {"a": %s}}'),
        ("mistral", '[TOOL_CALLS] [{"name": "f", "arguments": {"a": %s}}]'),
        ("deepseek", "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": %s}<｜tool▁call▁end｜>"),
        ("harmony", "<|channel|>commentary to=functions.f<|message|>{\"a\": %s}"),
        ("gemma", "<start_function_call>call:f{a:%s}<end_function_call>"),
    ],
)  # fmt: skip
def test_numbers_that_json_does_not_have_make_a_call_malformed(syntax, form, number):
    (call,) = parse_reply(form % number, syntax).calls
    assert call.arguments is None
    assert call.error


def test_a_closing_mark_within_a_string_ends_nothing():
    text = '<tool_call>{"name": "f", "arguments": {"a": "x</tool_call>y"}}</tool_call> Done.'
    reply = parse_reply(text)
    assert [call.arguments for call in reply.calls] == [{"a": "x</tool_call>y"}]
    assert reply.content == "Done."


def test_plain_values_follow_the_schema():
    text = "<tool_call><function=look_up><parameter=q>\n5\n</parameter><parameter=n>\n5\n</parameter></function></tool_call>"
    (call,) = parse_reply(text, "xml", tools=TOOLS).calls
    assert call.arguments == {"q": "5", "n": 5}


def test_a_thought_that_the_prompt_opened_is_no_content():
    text = 'hm\n</think>\n\nYes.<tool_call>{"name": "f"}</tool_call>'
    reply = parse_reply(text, "hermes", in_thought=True)
    assert (reply.reasoning, reply.content, len(reply.calls)) == ("hm", "Yes.", 1)
    assert facts(in_pieces(text, 4, syntax="hermes", in_thought=True)) == facts(reply)


@pytest.mark.parametrize(
    "text",
    ['{"name": "Bo", "age": 7}', '{"a": [1, 2', "{", "{x} and y", '{"name": "f"} later', "[1, 2]"],
)
def test_json_that_is_no_call_stays_text(text):
    for syntax in (None, "llama3", "hermes"):
        assert facts(parse_reply(text, syntax)) == (text, "", [])


def test_a_json_answer_of_a_model_that_marks_its_calls_stays_text():
    text = '{"name": "f", "parameters": {"a": 1}}'
    assert facts(parse_reply(text, "hermes")) == (text, "", [])


def test_ids_have_the_length_that_mistrals_template_asks_for():
    one, two = parse_reply(
        '[TOOL_CALLS] [{"name": "f", "arguments": {}, "id": "abc123def"}, {"name": "f", "arguments": {}}]',
        "mistral",
    ).calls
    assert one.id == "abc123def"
    assert len(two.id) == 9
