"""Spans of OTLP files and conversations of people and teachers are processed like captured runs."""

import base64
import json

import pytest

from burnish.errors import EmptyDataset, ExportError
from burnish_exporters import build_dataset
from burnish_exporters.sources import Demonstrations, JournalSource, OtlpFiles
from burnish_exporters.verify import outcome

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
CHAT = {
    "messages": [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": "Where is order 3?"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"order":  3}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": ""},
        {"role": "assistant", "content": "In Oslo."},
    ],
    "tools": [TOOL],
    "success": True,
}  # fmt: skip
SHAREGPT = {
    "system": "You help.",
    "conversations": [
        {"from": "human", "value": "Where is order 4?"},
        {"from": "function_call", "value": '{"name": "look_up", "arguments": {"order": 4}}'},
        {"from": "observation", "value": "Rome"},
        {"from": "gpt", "value": "In Rome."},
    ],
    "tools": json.dumps([TOOL["function"]]),
    "success": True,
}


def lines(path, *items):
    path.write_text(
        "\n".join(item if isinstance(item, str) else json.dumps(item) for item in items)
    )
    return str(path)


def test_demonstrations_become_rows_with_their_source(tmp_path):
    source = Demonstrations(lines(tmp_path / "d.jsonl", CHAT, SHAREGPT), agent="support")

    version = build_dataset(source, agent="support", verify=["outcome"])

    rows = {row["messages"][1]["content"]: row for row in version.rows()}
    chat, shared = rows["Where is order 3?"], rows["Where is order 4?"]
    assert {row["source"] for row in rows.values()} == {"demonstration"}
    assert [m["role"] for m in chat["messages"]] == [m["role"] for m in CHAT["messages"]]
    assert chat["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"order":  3}'
    assert chat["messages"][3]["content"] == ""
    assert shared["messages"][2]["tool_calls"][0]["id"] == shared["messages"][3]["tool_call_id"]
    assert sum(m["loss"] for m in chat["messages"]) == 2


def test_demonstrations_are_verified_like_every_other_run(tmp_path):
    unverified = {key: value for key, value in CHAT.items() if key != "success"}
    file = lines(tmp_path / "d.jsonl", {**CHAT, "success": False}, unverified, SHAREGPT)

    version = build_dataset(
        Demonstrations(file, agent="support", source="teacher"), agent="support", verify=["outcome"]
    )

    assert version.manifest.rows == {"train": 1}
    assert version.manifest.slices["source:teacher"] == 1


def test_lines_that_are_no_conversation_are_skipped_and_counted(tmp_path):
    source = Demonstrations(lines(tmp_path / "d.jsonl", "{", {"x": 1}, CHAT, [], ""), agent="a")

    assert len(list(source.trajectories())) == 1
    assert source.skipped == 3


@pytest.fixture
def captured(home):
    """Three captured runs of a small graph, with outcomes."""
    from langchain.agents import create_agent

    import burnish
    from burnish.testing import ScriptedChatModel

    graph = burnish.wrap(
        create_agent(ScriptedChatModel(script=["fine"], repeat=True), []), agent="support"
    )
    for n in range(3):
        thread = {"configurable": {"thread_id": f"t{n}"}}
        graph.invoke({"messages": [("user", f"How is {n}?")]}, config=thread)
        burnish.outcome(thread_id=f"t{n}", success=True, source="crm")
    burnish.flush(5)
    return JournalSource(home)


def as_json(request):
    """A protobuf request as collectors write it: JSON with hexadecimal ids."""
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    def hexed(value):
        if isinstance(value, dict):
            return {
                key: base64.b64decode(item).hex()
                if key in ("traceId", "spanId", "parentSpanId")
                else hexed(item)
                for key, item in value.items()
            }
        return [hexed(item) for item in value] if isinstance(value, list) else value

    return json.dumps(hexed(MessageToDict(ExportTraceServiceRequest.FromString(request))))


def test_the_same_runs_from_the_journal_and_from_files_give_the_same_version(captured, tmp_path):
    from burnish.telemetry.otlp.codec import encode_request

    request = encode_request(captured.spans())
    (tmp_path / "spans.binpb").write_bytes(request)
    lines(tmp_path / "spans.jsonl", as_json(request), "{broken", '{"resourceSpans": 3}')
    binary = OtlpFiles(tmp_path / "spans.binpb")
    text = OtlpFiles(tmp_path / "*.jsonl")

    versions = [
        build_dataset(source, agent="support", verify=[outcome(trust_received=["crm"])])
        for source in (captured, binary, text)
    ]

    assert len({version.id for version in versions}) == 1
    assert versions[0].manifest.rows == {"train": 3}
    assert (binary.skipped, text.skipped) == (0, 2)


def test_outcomes_in_files_decide_only_where_their_source_is_trusted(captured, tmp_path):
    from burnish.telemetry.otlp.codec import encode_request

    (tmp_path / "spans.binpb").write_bytes(encode_request(captured.spans()))

    with pytest.raises(EmptyDataset):
        build_dataset(OtlpFiles(tmp_path / "spans.binpb"), agent="support", verify=[outcome()])


def test_a_file_of_noise_is_skipped_and_a_missing_file_is_an_error(tmp_path):
    (tmp_path / "noise.bin").write_bytes(b"\xff\xfe not a request")
    source = OtlpFiles(tmp_path / "noise.bin")

    assert list(source.spans()) == []
    assert source.skipped == 1
    with pytest.raises(ExportError, match="no file at"):
        list(OtlpFiles(tmp_path / "*.none").spans())
