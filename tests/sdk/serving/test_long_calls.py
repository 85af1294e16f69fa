"""A long call in small pieces is parsed in linear time and equals the call of the whole text."""

import time

import pytest

from burnish.serving.toolcalls.reply_parser import ReplyParser, parse_reply

CALLS = {
    "hermes": ('<tool_call>{"name": "write", "arguments": {"text": "', '"}}</tool_call>'),
    "llama3": ('{"name": "write", "parameters": {"text": "', '"}}'),
    "glm": ("<tool_call>write<arg_key>text</arg_key><arg_value>", "</arg_value></tool_call>"),
}


def read(syntax, text, size=4):
    parser, pieces = ReplyParser(syntax), []
    for start in range(0, len(text), size):
        pieces += parser.feed(text[start : start + size])
    return [*pieces, *parser.close()]


@pytest.mark.parametrize("syntax", CALLS)
def test_a_long_call_in_small_pieces_takes_linear_time(syntax):
    opened, closed = CALLS[syntax]

    def seconds(count):
        text = opened + "a b(c) } " * count + closed
        began = time.thread_time()
        calls = [piece.call for piece in read(syntax, text) if piece.call is not None]
        whole = parse_reply(text, syntax).calls
        assert [(c.name, c.arguments) for c in calls] == [(c.name, c.arguments) for c in whole]
        return time.thread_time() - began

    seconds(100)

    assert seconds(8_000) < 8 * min(seconds(2_000) for _ in range(2)) + 0.5
