"""Received OTLP has the declared form or is refused, and acknowledged spans can be read."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from burnish.errors import JournalCorrupt
from burnish.journal.writer import JournalWriter
from burnish.telemetry import semconv as s
from burnish.telemetry.intake.receiver import Intake
from burnish.telemetry.otlp import limits
from burnish.telemetry.spans import schema
from burnish.testing.recording import Recording
from burnish.trajectories import assemble
from burnish.workspace import Workspace

RUN = {s.OPERATION: "invoke_agent", s.AGENT: "a"}
START = 1_700_000_000_000_000_000
GOOD = "f" * 32


def any_value(value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=max(-(2**63), min(value, 2**63 - 1)))
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=map(any_value, value)))
    if isinstance(value, dict):
        pairs = [KeyValue(key=key, value=any_value(item)) for key, item in value.items()]
        return AnyValue(kvlist_value=KeyValueList(values=pairs))
    return AnyValue() if value is None else AnyValue(string_value=value)


def request(*spans) -> bytes:
    """A request of spans, each a pair of fields and attributes."""
    made = ExportTraceServiceRequest()
    scope = made.resource_spans.add().scope_spans.add()
    for fields, attributes in spans:
        span = scope.spans.add(
            **{
                "trace_id": b"\x01" * 16, "span_id": b"\x02" * 8, "name": "x",
                "start_time_unix_nano": START, "end_time_unix_nano": START + 10**9,
                **{key: value for key, value in fields.items() if key != "code"},
            }
        )  # fmt: skip
        span.status.code = fields.get("code", 0)
        for key, value in attributes.items():
            span.attributes.append(KeyValue(key=key, value=any_value(value)))
    return made.SerializeToString()


def good_run() -> tuple[dict, dict]:
    return {"span_id": b"\x09" * 8, "trace_id": b"\x09" * 16}, {**RUN, s.TRAJECTORY: GOOD}


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def intake(home):
    writer = JournalWriter(home)
    yield Intake(writer)
    writer.close()


@pytest.mark.parametrize(
    ("fields", "attributes"),
    [
        ({"trace_id": b""}, RUN),
        ({"span_id": bytes(8)}, RUN),
        ({"parent_span_id": b"ab"}, RUN),
        ({"start_time_unix_nano": 2**63}, RUN),
        ({"end_time_unix_nano": 2**64 - 1}, RUN),
        ({"code": 3}, RUN),
        ({}, {**RUN, s.KIND: 5}),
        ({}, {**RUN, s.KIND: "else"}),
        ({}, {**RUN, s.JSON_KEYS: 5}),
        ({}, {**RUN, s.TRAJECTORY: ["t"]}),
        ({}, {**RUN, s.TRAJECTORY: ""}),
        ({}, {**RUN, s.TAGS: 5}),
        ({}, {**RUN, s.EXTRAS: ["a"]}),
        ({}, {**RUN, s.ATTEMPT: "2"}),
        ({}, {**RUN, s.STATUS: "fine"}),
        ({}, {**RUN, s.LOSSES: {"a": -1}}),
        ({}, {**RUN, s.LOSSES: {"a": True}}),
        ({}, {**RUN, s.LOSSES: "x"}),
        ({}, {**RUN, s.INPUT: "[" * 20_000 + "]" * 20_000}),
        ({}, {s.KIND: "fact", s.FACT: "outcome", s.EVALUATION_NAME: "crm", s.SUCCESS: True}),
        ({}, {s.KIND: "fact", s.FACT: "verdict", s.EVALUATION_NAME: "v", s.CONVERSATION: "t"}),
        ({}, {s.KIND: "fact", s.FACT: "outcome", s.TRAJECTORY: GOOD, s.SUCCESS: True}),
        ({}, {s.KIND: "fact", s.FACT: "opinion", s.TRAJECTORY: GOOD}),
        *(
            ({}, {s.KIND: "fact", s.FACT: "outcome", s.TRAJECTORY: GOOD, s.EVALUATION_NAME: "crm",
                  s.SUCCESS: success})
            for success in ("false", "no", 0, 1, [True])
        ),
    ],
)  # fmt: skip
def test_a_span_of_another_form_is_refused_and_the_others_are_taken(
    home, intake, fields, attributes
):
    with pytest.raises(JournalCorrupt):
        intake.take_request(request((fields, attributes)))
    taken = intake.take_request(request((fields, attributes), good_run()))

    assert (taken.spans, taken.refused) == (1, 1)
    assert "refused" in taken.reason
    (run,) = Workspace(home).trajectories()
    assert (run.id, run.outcomes, run.losses) == (GOOD, [], {})
    assert Workspace(home).read_report().unknown_events == 0


@pytest.mark.parametrize(
    "attributes",
    [
        {s.OPERATION: "chat", s.INPUT_MESSAGES: ["hi"]},
        {s.OPERATION: "chat", s.OUTPUT_MESSAGES: "[1]"},
        {s.OPERATION: "chat", s.INPUT_MESSAGES: [{"role": ["user"]}]},
        {s.OPERATION: "chat", s.INPUT_MESSAGES: [{"role": "user", "parts": "hi"}]},
        {s.OPERATION: "chat", s.USAGE["input_tokens"]: -1},
        {s.OPERATION: "execute_tool", s.TOOL_CALL_ID: ["a"]},
        {s.OPERATION: "execute_tool", s.TOOL_NAME: {"a": 1}},
        {s.OPERATION: "chat", s.CONVERSATION: [1]},
    ],
)
def test_a_wrong_attribute_of_another_tool_is_set_aside_and_counted(home, intake, attributes):
    intake.take_request(request(({"span_id": b"\x03" * 8}, RUN), ({}, attributes)))

    (run,) = Workspace(home).trajectories()
    assert run.losses == {"invalid_attributes": 1}
    kept = [span.attributes.get(s.INVALID) for span in Workspace(home).spans()]
    assert any(kept)


def test_an_id_that_is_a_number_is_its_digits(home, intake):
    intake.take_request(request(({}, {**RUN, s.CONVERSATION: 42, s.USER: 7})))

    (run,) = Workspace(home).trajectories()
    assert (run.thread_id, run.user) == ("42", "7")


def test_facts_that_arrive_are_received_and_our_own_stand_beside_them(home, intake):
    Recording(home, intake.writer).write_run("a" * 32)
    workspace = Workspace(home)
    told = {s.KIND: "fact", s.TRAJECTORY: "a" * 32, s.EVALUATION_NAME: "crm"}
    intake.take_request(
        request(
            ({}, {**told, s.FACT: "outcome", s.SUCCESS: True}),
            ({"span_id": b"\x03" * 8}, {**told, s.FACT: "verdict", s.LABEL: "success"}),
            ({"span_id": b"\x04" * 8}, {**told, s.FACT: "state", s.FINAL_STATE: '{"paid": true}'}),
        )
    )
    run = workspace.trajectory("a")
    assert [outcome.origin for outcome in run.outcomes] == ["received"]
    assert [verdict.origin for verdict in run.verdicts] == ["received"]
    assert (run.final_state, run.state_origin) == ({"paid": True}, "received")

    workspace.record_state("a" * 32, {"paid": False})
    run = workspace.trajectory("a")
    assert (run.final_state, run.state_origin) == ({"paid": False}, "own")


def test_spans_about_a_run_of_ours_are_no_part_of_it(home, intake):
    Recording(home, intake.writer).write_run("a" * 32)
    before = Workspace(home).trajectory("a")
    forged = {s.OPERATION: "execute_tool", s.TRAJECTORY: "a" * 32, s.TOOL_RESULT: "exit code: 0"}
    as_run = {**RUN, s.TRAJECTORY: "a" * 32, s.AGENT: "other", s.ANSWER: "forged"}
    intake.take_request(
        request(
            ({"start_time_unix_nano": 5}, forged),
            ({"span_id": b"\x03" * 8, "start_time_unix_nano": 5}, as_run),
        )
    )
    after = Workspace(home).trajectory("a")

    assert after.losses == {"foreign_spans": 2}
    assert (after.tool_runs, after.answer) == (before.tool_runs, before.answer)
    assert [entry.agent for entry in Workspace(home).entries()] == [before.agent]
    assert (before.origin, after.origin) == ("own", "own")


def test_a_fact_from_elsewhere_neither_marks_our_run_as_redacted_nor_counts_losses(home, intake):
    Recording(home, intake.writer).write_run("a" * 32)
    facts = {s.KIND: "fact", s.TRAJECTORY: "a" * 32, s.REDACTED: True}
    told = {**facts, s.FACT: "losses", s.LOSSES: '{"model_calls": 3}'}
    intake.take_request(
        request(
            ({"start_time_unix_nano": 5}, told),
            ({"span_id": b"\x05" * 8, "start_time_unix_nano": 5}, {**facts, s.FACT: "note"}),
        )
    )
    run = Workspace(home).trajectory("a")

    assert (run.losses, run.redacted) == ({}, False)


def test_a_run_of_received_spans_alone_says_so(home, intake):
    intake.take_request(request(({}, {**RUN, s.TRAJECTORY: "b" * 32})))

    assert Workspace(home).trajectory("b").origin == "received"


def test_a_trace_without_a_run_is_listed_with_its_loss(home, intake):
    said = {s.OUTPUT_MESSAGES: [{"role": "assistant", "parts": [{"type": "text", "content": "x"}]}]}
    call = {s.OPERATION: "chat", s.AGENT: "other", s.CONVERSATION: "t-1", **said}
    intake.take_request(request(({}, call), ({"span_id": b"\x03" * 8}, {})))

    (run,) = Workspace(home).trajectories(agent="other")
    assert (run.losses, run.status, run.thread_id) == ({"missing_root": 1}, "abandoned", "t-1")
    intake.take_request(request(({"span_id": b"\x04" * 8}, {**RUN, s.CONVERSATION: "t-1"})))
    (run,) = Workspace(home).trajectories(agent="a")
    assert (run.losses, run.status) == ({}, "completed")


def test_parents_that_lie_in_a_circle_end_nothing(home, intake):
    ids = [b"\x03" * 8, b"\x04" * 8]
    intake.take_request(
        request(
            *(({"span_id": a, "parent_span_id": b}, RUN) for a, b in (ids, ids[::-1])),
            ({"span_id": b"\x05" * 8, "parent_span_id": b"\x05" * 8}, {s.OPERATION: "chat"}),
            good_run(),
        )
    )
    assert len(list(Workspace(home).trajectories())) == 2


def test_a_run_that_cannot_be_put_together_fails_alone(tmp_path):
    Recording(tmp_path).write_run("a" * 32)
    Recording(tmp_path).write_run("b" * 32)
    spans = list(Workspace(tmp_path).spans())
    for span in spans:
        if span.kind == "model" and span.attributes[s.TRAJECTORY] == "a" * 32:
            span.attributes[s.INPUT_MESSAGES] = [5]  # as an earlier version took it over OTLP
    broken, whole = assemble(spans)

    assert broken.losses["unreadable_spans"] > 0
    assert (broken.agent, whole.losses) == (whole.agent, {})


def test_what_unfolds_to_too_much_is_refused_before_it_is_unfolded(intake):
    def field(number: int, content: bytes) -> bytes:
        size, head = len(content), b""
        while True:
            head += bytes([size & 127 | (128 if size > 127 else 0)])
            size >>= 7
            if not size:
                return bytes([number << 3 | 2]) + head + content

    many = limits.MOST_ITEMS + 1
    spans = field(1, field(2, b"\x12\x00" * (limits.MOST_SPANS + 1)))
    attributes = field(1, field(2, field(2, b"\x4a\x00" * many)))
    values = field(1, field(2, field(2, field(9, field(2, field(5, b"\x0a\x00" * many))))))
    json_items = request(({}, {**RUN, s.INPUT: "[" + "[]," * limits.MOST_JSON_ITEMS + "0]"}))
    for body in (spans, b"\x0a\x00" * many, attributes, values, json_items):
        with pytest.raises(JournalCorrupt, match="more than"):
            intake.take_request(body)


def test_commas_inside_texts_are_no_items(intake):
    table = "1,2,[3],{4}\n" * 200_000
    taken = intake.take_request(request(({}, {**RUN, s.INPUT: json.dumps({"table": table})})))
    assert taken.spans == 1
    odd = '\\"' * 200_000
    assert intake.take_request(request(({}, {**RUN, s.ANSWER: "x", s.OUTPUT: odd}))).spans == 1


NAMES = [*schema.ATTRIBUTES, s.KIND, s.JSON_KEYS, s.TEXT_KEYS, s.ADDED, s.INPUT, "other"]
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary(max_size=4)
    | st.sampled_from(["", "x", "[", "[1]", "{}", '[{"role": []}]', '{"a": -1}', "[" * 2000, "fact",
                       "chat", "invoke_agent", "outcome", "completed", "status=", "null", "a" * 300])
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "parts", "type", "content", "id"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "trace_id": st.sampled_from([b"", b"\x01" * 16, b"\x01" * 15]),
        "span_id": st.sampled_from([b"", b"\x02" * 8, b"\x03" * 8]),
        "parent_span_id": st.sampled_from([b"", b"\x02" * 8, b"\x03" * 8, b"\x01"]),
        "start_time_unix_nano": st.sampled_from([0, 1, START, 2**63 - 1, 2**63, 2**64 - 1]),
        "end_time_unix_nano": st.sampled_from([0, 1, START, 2**63 - 1, 2**63, 2**64 - 1]),
        "code": st.integers(0, 4),
        "name": st.sampled_from(["", "x" * 300, "é"]),
    },
)
SPANS = st.tuples(FIELDS, st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5))


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.lists(SPANS, min_size=1, max_size=4))
def test_whatever_arrives_is_refused_or_can_be_read_and_every_other_run_stays(spans):
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        writer = JournalWriter(home)
        try:
            intake = Intake(writer)
            for batch in ([spans[0], good_run()], spans):
                try:
                    intake.take_request(request(*batch))
                except JournalCorrupt:
                    continue
        finally:
            writer.close()
        workspace = Workspace(home)
        found = {run.id: run for run in workspace.trajectories()}

        assert GOOD in found or intake.spans == 0
        assert workspace.read_report().unknown_events == 0
        assert not any("unreadable_spans" in run.losses for run in found.values())
        assert len(list(assemble(workspace.spans()))) >= len(found)
