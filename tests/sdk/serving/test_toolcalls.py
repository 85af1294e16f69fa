"""A reply is parsed the same way whole and in any pieces."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from burnish.serving.toolcalls.reply_parser import ParsedReply, ReplyParser, parse_reply

MARKS = ["<tool_call>", "</tool_call>", "<think>", "</think>", "<tool", "</", "\n", " ", "ä"]
CALL = '{"name": "f", "arguments": {"x": 1}}'


def facts(reply: ParsedReply):
    calls = [(call.name, call.arguments, call.raw, call.error) for call in reply.calls]
    return reply.content, reply.reasoning, calls


@given(
    st.lists(st.sampled_from([*MARKS, CALL, "word", '{"name": 1}'])).map("".join),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_any_cutting_gives_the_same_reply(text, sizes):
    parser, reply, at, turn = ReplyParser(), ParsedReply(), 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        for piece in parser.feed(text[at : at + size]):
            reply.add(piece)
        at, turn = at + size, turn + 1
    for piece in parser.close():
        reply.add(piece)
    assert facts(reply) == facts(parse_reply(text))


# Every mark of every syntax begins with one of these characters; the examples hold them without a mark.
@given(st.text(st.characters(exclude_characters="<`[{|")))
@example("1 < 2, `code` and [1] {x} | y")
def test_text_without_marks_stays_exactly_as_it_is(text):
    assert facts(parse_reply(text)) == (text, "", [])


@pytest.mark.parametrize(
    ("inner", "name", "said"),
    [
        ('{"name": "f", "argum', "f", "no JSON"),
        ('{"name": "f"} trailing', "f", "no JSON"),
        ("[]", None, "no name"),
        ('{"arguments": {}}', None, "no name"),
        ('{"name": ""}', None, "no name"),
        ('{"name": "f", "arguments": [1]}', "f", "not an object"),
        ('{"name": "f", "arguments": "not json"}', "f", "not an object"),
        ("[" * 100_000, None, "no JSON"),
    ],
)
def test_a_malformed_call_says_what_is_wrong_and_keeps_its_text(inner, name, said):
    text = f"<tool_call>{inner}</tool_call>"
    (call,) = parse_reply(text).calls
    assert (call.name, call.arguments, call.raw) == (name, None, text)
    assert call.error is not None
    assert said in call.error


def test_arguments_may_be_left_out_or_given_as_text():
    left_out, as_text = parse_reply(
        '<tool_call>{"name": "f"}</tool_call>'
        '<tool_call>{"name": "f", "arguments": "{\\"x\\": 1}"}</tool_call>'
    ).calls
    assert left_out.arguments == {}
    assert as_text.arguments == {"x": 1}


def test_two_equal_calls_have_two_ids():
    one, two = parse_reply(f"<tool_call>{CALL}</tool_call>" * 2).calls
    assert one.id != two.id
