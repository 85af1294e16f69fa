"""A rule that forbids a text finds it in every spelling."""

import json

import pytest
from golden.table import run_with

from burnish.records import ToolRun
from burnish_exporters.verify.checks.rules import rules

LAW = rules({"deny_arguments": {"rm": ['"/etc', r"\ball\b"]}, "deny_answer": ["refund"]})
RAW = {
    "as it is": '{"path": "/etc/passwd"}',
    "escaped slash": r'{"path": "\/etc\/passwd"}',
    "escaped by number": r'{"path": "\u002fetc/passwd"}',
    "escaped letter": r'{"path": "\u0061ll"}',
    "full width": '{"path": "\uff41\uff4c\uff4c"}',
    "soft hyphen": '{"path": "a\u00adll"}',
    "zero width": '{"path": "/e\u200btc/passwd"}',
    "a detour": '{"path": "/tmp/../etc/passwd"}',
    "two slashes": '{"path": "//etc//passwd"}',
    "a dot": '{"path": "/./etc/passwd"}',
    "percent signs": '{"path": "/%65tc/passwd"}',
    "percent signs twice": '{"path": "/%2565tc/passwd"}',
    "a file address": '{"path": "file:///etc/passwd"}',
    "back slashes": r'{"path": "\\etc\\passwd"}',
    "JSON inside JSON": json.dumps({"command": json.dumps({"path": "/etc/passwd"})}),
    "in a list": '{"paths": ["x", "/etc/passwd"]}',
    "no JSON": '{"path": "/etc/passwd"',
}


def removing(raw, arguments):
    call = ToolRun(span_id="s", parent_id=None, name="rm", arguments=arguments, raw_arguments=raw)
    return run_with(tool_runs=[call])


@pytest.mark.parametrize("spelling", RAW)
def test_what_a_rule_forbids_is_found_in_every_spelling(spelling):
    assert LAW.verify(removing(RAW[spelling], None)).label == "fail"


@pytest.mark.parametrize(("raw", "parsed"), [("/home", "/etc"), ("/etc", "/home"), (None, "/etc")])
def test_arguments_count_as_they_were_written_and_as_they_were_parsed(raw, parsed):
    written = None if raw is None else json.dumps({"path": raw})

    assert LAW.verify(removing(written, {"path": parsed})).label == "fail"


@pytest.mark.parametrize("path", ["/home/etc", "/etcetera", "ball", "smaller", "/tmp/etc/x", ""])
def test_what_no_rule_forbids_is_kept(path):
    law = rules({"deny_arguments": {"rm": ['"/etc/', r"\ball\b"]}})

    assert law.verify(removing(None, {"path": path})).label == "success"


@pytest.mark.parametrize("answer", ["a refund", "a re\u00adfund", "\uff52\uff45fund"])
def test_an_answer_is_read_as_people_see_it(answer):
    assert LAW.verify(run_with(answer=answer)).label == "fail"


def test_a_denied_tool_is_known_in_other_letters():
    law = rules({"deny_tools": ["drop_table"]})
    call = ToolRun(span_id="s", parent_id=None, name="\uff24ROP_table", arguments={})

    assert law.verify(run_with(tool_runs=[call])).label == "fail"
