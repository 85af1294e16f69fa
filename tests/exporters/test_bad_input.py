"""A run that cannot be used leaves with a counted reason, and the source is never changed."""

import hashlib
import json

import msgspec
import pytest

import burnish
from burnish.records import Outcome
from burnish.workspace import Workspace
from burnish_exporters import build_dataset
from burnish_exporters.sources import Demonstrations

GOOD = 7


def dropped(version):
    return {r: n for stage in version.manifest.funnel for r, n in stage["dropped"].items()}


def build(runs, **recipe):
    return build_dataset(runs, agent="support", verify=["outcome"], recipe=recipe)


def with_calls(run, change):
    calls = [change(place, call) for place, call in enumerate(run.model_calls)]
    return msgspec.structs.replace(run, model_calls=calls)


def reply_with(*parts):
    return {"role": "assistant", "parts": list(parts)}


def call_part(call_id="c", name="look_up", **fields):
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": {"order": 1}, **fields}


def saying(run, reply):
    """A run of one call with this reply."""
    first = msgspec.structs.replace(run.model_calls[0], reply=reply)
    return msgspec.structs.replace(run, model_calls=[first])


def unfinished(make_run):
    return make_run(1, status="running")


def unknown_tool(make_run):
    return saying(make_run(1), reply_with(call_part(name="no_such_tool")))


def changed_schema(make_run):
    def change(place, call):
        parameters = {"type": "object", "properties": {"id": {"type": "string"}}}
        tools = [{**call.tools[0], "parameters": parameters}] if place else call.tools
        return msgspec.structs.replace(call, tools=tools)

    return with_calls(make_run(1), change)


def twice_in_one_reply(make_run):
    return saying(make_run(1), reply_with(call_part("same"), call_part("same")))


def result_without_call(make_run):
    def change(place, call):
        part = {"type": "tool_call_response", "id": "nobody", "response": "x"}
        stray = {"role": "tool", "parts": [part]}
        return msgspec.structs.replace(call, messages=[*call.messages[:2], stray])

    return with_calls(make_run(1, calls=1), change)


def call_without_result(make_run):
    first, second = make_run(1).model_calls
    second = msgspec.structs.replace(second, messages=second.messages[:-1])
    return msgspec.structs.replace(make_run(1), model_calls=[first, second])


def empty_request(make_run):
    return make_run(1, request=" \n ")


def empty_reply(make_run):
    return saying(make_run(1), reply_with({"type": "text", "content": ""}))


def huge_message(make_run):
    return make_run(1, request="x" * 1_000_001)


def huge_argument(make_run):
    return saying(make_run(1), reply_with(call_part(arguments={"order": "x" * 1_000_001})))


def no_text(make_run):
    return make_run(1, answer="half \udcff of a letter")


def ended_before_it_began(make_run):
    return make_run(1, started_ns=9 * 10**9, ended_ns=10**9)


def call_before_the_run(make_run):
    return msgspec.structs.replace(make_run(1), started_ns=5 * 10**9)


def conflicting_outcomes(make_run):
    told = [Outcome(source="crm", success=True), Outcome(source="shop", success=False)]
    return make_run(1, outcomes=told)


def no_reply(make_run):
    return with_calls(make_run(1), lambda _, call: msgspec.structs.replace(call, reply=None))


def odd_role(make_run):
    def change(_, call):
        return msgspec.structs.replace(call, messages=[{"role": "wizard", "parts": []}])

    return with_calls(make_run(1), change)


BAD = {
    unfinished: "unfinished: running",
    unknown_tool: "malformed: unknown tool name",
    changed_schema: "malformed: a tool changed its schema in the run",
    twice_in_one_reply: "malformed: call id used twice",
    result_without_call: "malformed: tool result without its call",
    call_without_result: "malformed: tool call without result",
    empty_request: "malformed: empty request",
    empty_reply: "malformed: empty reply",
    huge_message: "malformed: huge message",
    huge_argument: "malformed: huge message",
    no_text: "malformed: text or numbers that JSON cannot hold",
    ended_before_it_began: "malformed: clock skew",
    call_before_the_run: "malformed: clock skew",
    conflicting_outcomes: "unverified: conflicting outcomes",
    no_reply: "malformed: no model call with a reply",
    odd_role: "malformed: message role 'wizard'",
}


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_a_bad_run_leaves_by_its_reason_and_a_good_one_beside_it_stays(make_run, bad):
    runs = [bad(make_run), make_run(GOOD)]
    before = msgspec.msgpack.encode(repr(runs))

    version = build(runs)

    assert dropped(version) == {BAD[bad]: 1}
    assert [row["task_id"] for row in version.rows()] == [f"task-{GOOD}"]
    assert msgspec.msgpack.encode(repr(runs)) == before


def test_a_limit_of_ones_own_says_what_is_huge(make_run):
    run = make_run(1, request="x" * 5000)

    assert build([run]).manifest.rows == {"train": 1}
    assert dropped(build([run, make_run(GOOD)], max_message_chars=4000)) == {
        "malformed: huge message": 1
    }


def test_tools_that_come_and_go_are_no_fault(make_run):
    def change(place, call):
        other = {"type": "function", "name": f"other_{place}", "parameters": {"type": "object"}}
        return msgspec.structs.replace(call, tools=[*call.tools, other])

    assert build([with_calls(make_run(1), change)]).manifest.rows == {"train": 2}


def test_clocks_that_differ_by_less_than_a_second_are_no_fault(make_run):
    run = msgspec.structs.replace(make_run(1), started_ns=9 * 10**8)

    assert build([run]).manifest.rows == {"train": 1}


def test_bytes_that_are_no_text_in_a_file_cost_their_line_only(tmp_path):
    chat = {
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    }
    good = json.dumps({**chat, "success": True}).encode()
    (tmp_path / "d.jsonl").write_bytes(good + b"\n" + good.replace(b"Hi", b"\xff\xfe") + b"\n")
    source = Demonstrations(str(tmp_path / "d.jsonl"), agent="support")

    version = build(source)

    assert version.manifest.rows == {"train": 1}
    assert dropped(version) == {"malformed: text or numbers that JSON cannot hold": 1}


def journal_bytes(home):
    """Hash of everything that the journal holds."""
    files = sorted(path for path in (home / "journal").rglob("*.seg"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def test_a_build_leaves_the_journal_as_it_was(home):
    with (
        burnish.trace(agent="support"),
        burnish.trace.model_call(model="m", messages=[{"role": "user", "content": "Hi"}]) as call,
    ):
        call.reply("Hello")
    burnish.flush(5)
    workspace = Workspace()
    (entry,) = workspace.entries()
    workspace.append_outcome(Outcome(source="crm", success=True), trajectory_id=entry.id)
    workspace.writer().flush(5)
    before = journal_bytes(home)

    version = build(workspace)

    assert version.manifest.rows == {"train": 1}
    assert journal_bytes(home) == before
