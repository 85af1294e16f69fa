"""OTLP carries the same data as the journal, seen from both sides."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult
from shipped_copies import comparable

from burnish.errors import JournalCorrupt
from burnish.journal import events as e
from burnish.records import Outcome, Span, Verdict
from burnish.telemetry import semconv as s
from burnish.telemetry.otlp import codec
from burnish.testing.recording import Recording
from burnish.trajectories import assemble
from burnish.workspace import Workspace

ODD = {
    "large": 2**70,
    "small": -(2**70),
    "edge": [2**63 - 1, 2**63, -(2**63), 2**64],
    "nan": math.nan,
    "infinite": [math.inf, -math.inf],
    "null": None,
    "surrogate": "\ud800 and \udfff",
    "emoji": "é😀\x00\x7f\u2028",
    "empty": [{}, [], ""],
    "float": [0.1, 1e300, 5e-324, -0.0, 1.0],
    "deep": {"a": {"b": [{"c": None}]}},
}


def record_everything(home) -> Workspace:
    """Runs that use every field of every event, with the values that encoders refuse."""
    recording = Recording(home)
    run = odd_run(recording)
    recording.write_run("b" * 32, steps=4, thread_id="t-\ud800", metadata=run.add_blob({"x": ODD}))
    open_run = recording.run("c" * 32)
    open_run.model_says("hm")
    open_run.model_starts()
    workspace = Workspace(home)
    tell_facts(workspace)
    workspace.writer().close()
    recording.writer.close()
    return workspace


def odd_run(recording):
    """A run of the agent, failed, whose every text and number is odd."""
    run = recording.run(
        "a" * 32,
        thread_id="t-\ud800",
        user="ü\udfff",
        task=f"do \ud800 {2**70}",
        tools=[{"type": "function", "name": "look", "parameters": ODD}],
        tags=["x", "\ud800"],
        environment="world",
        mode="explore",
        source="rollout",
        attempt=3,
        entry="invoke",
        task_id="task \ud800",
        metadata=None,
    )
    run.write(
        e.NodeStarted(at=run.read_clock(), trajectory=run.trajectory, span="00000000000000aa",
                      parent=run.span, name="node \ud800", node="agent", step=3, namespace="a|b")
    )  # fmt: skip
    odd_call(run)
    odd_tools(recording, run)
    cut = run.model_starts()
    run.write(e.ModelEnded(at=run.read_clock(), trajectory=run.trajectory, span=cut, cut=True))
    run.write(e.NodeEnded(at=run.read_clock(), trajectory=run.trajectory, span="00000000000000aa",
                          bubbled="interrupt", error_type="GraphInterrupt", error="x"))  # fmt: skip
    run.write(e.Dropped(at=run.read_clock(), trajectory=run.trajectory, counts={"queue": 2}))
    run.end("failed", answer="\ud800 done", output=run.add_blob(ODD), error_type="E", error="\ud800",
            losses={"dropped_frames": 1}, interrupts=["i-1"])  # fmt: skip
    return run


def odd_call(run):
    """A model call with every field that a request and a reply can have."""
    span = run.model_starts(
        request=run.add_blob({"tool_choice": ODD, "response_format": ODD, "other": 1,
                          "sampling": {"temperature": 0.5, "seed": 2**70, "stop": "x", "top_p": math.nan}}),
        extras=run.add_blob({"run_id": "r", "odd": ODD}),
        provider="openai", adapter="a@1", arm="canary", node="agent", step=3, namespace="a|b",
        speaker="boss", attempt=2,
    )  # fmt: skip
    reply = {"role": "assistant", "odd": ODD, "parts": [
        {"type": "reasoning", "content": "\ud800"},
        {"type": "tool_call", "id": "c \ud800", "name": "look", "arguments": ODD},
    ]}  # fmt: skip
    run.model_ends(
        span, reply, adapter="a@2", model="gpt-x", finish_reason="tool_calls", response_id="r1",
        usage={"input_tokens": 2**65, "output_tokens": 3, "cached_tokens": 1, "reasoning_tokens": 0},
        prompt_token_ids=[1, 2], token_ids=[3, 2**40], logprobs=[-0.1, -math.inf, math.nan],
        sampled=False, first_token_at=run.read_clock(), extras=run.add_blob({"raw": ODD}), redacted=True,
    )  # fmt: skip


def odd_tools(recording, run):
    """Record a tool that returns every kind of value, and one that fails."""
    run.run_tool("c \ud800", ODD, ODD, name="look \ud800")
    failing = recording.span_id()
    run.write(e.ToolStarted(at=run.read_clock(), trajectory=run.trajectory, span=failing, parent=run.span,
                            name="look", call_id="c \ud800", raw_arguments='{"a":\ud800'))  # fmt: skip
    run.write(e.ToolEnded(at=run.read_clock(), trajectory=run.trajectory, span=failing, is_error=True,
                          error_type="ValueError", error="bad \ud800"))  # fmt: skip


def tell_facts(workspace):
    """Record outcomes, a verdict and a state."""
    workspace.append_outcome(
        Outcome(source="crm \ud800", success=False, score=1e308, label="\ud800", evidence=ODD),
        thread_id="t-\ud800",
    )
    workspace.append_outcome(Outcome(source="crm", score=0.5), trajectory_id="b" * 32)
    workspace.append_verdict(
        "a" * 32, Verdict(label="fail", verifier="goal", evidence=ODD, score=0.0, cost_usd=0.1)
    )
    workspace.record_state("b" * 32, ODD)


def test_otlp_gives_every_trajectory_back_field_for_field(tmp_path):
    workspace = record_everything(tmp_path)
    request = codec.encode_request(workspace.spans())
    received = comparable(assemble(codec.OtlpReader().decode_request(request)))
    own = {trajectory.id: trajectory for trajectory in workspace.trajectories()}

    assert received == comparable(own.values())
    first, _, third = own.values()
    call = first.model_calls[0]
    assert math.isnan(call.sampling["top_p"])
    assert call.sampling["seed"] == 2**70
    assert call.usage.input_tokens == 2**65
    assert call.tools[0]["parameters"]["surrogate"] == "\ud800 and \udfff"
    assert first.tool_runs[0].arguments["large"] == 2**70
    assert (first.user, first.answer) == ("ü\udfff", "\ud800 done")
    assert first.losses == {"dropped_frames": 1, "queue": 2}
    assert (first.redacted, third.status) == (True, "abandoned")
    assert third.losses == {"unfinished_spans": 2}


def test_an_official_exporter_carries_the_same(tmp_path, collector):
    workspace = record_everything(tmp_path)
    exporter = OTLPSpanExporter(endpoint=f"{collector.url}/v1/traces")

    result = exporter.export([codec.to_readable(span) for span in workspace.spans()])
    exporter.shutdown()

    assert result is SpanExportResult.SUCCESS
    assert comparable(assemble(collector.spans())) == comparable(workspace.trajectories())


def test_names_and_attributes_are_those_of_the_conventions(tmp_path):
    Recording(tmp_path).write_run("a" * 32, steps=2, thread_id="t-1", user="u")
    workspace = Workspace(tmp_path)
    workspace.append_verdict("a" * 32, Verdict(label="success", verifier="goal", score=0.5))
    readable = {span.name: span for span in map(codec.to_readable, workspace.spans())}
    agent, chat, tool = (
        readable[n] for n in ("invoke_agent support", "chat tiny", "execute_tool look_up")
    )

    assert agent.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert agent.attributes["gen_ai.conversation.id"] == "t-1"
    assert chat.attributes["gen_ai.request.model"] == "tiny"
    assert chat.kind.name == "CLIENT"
    assert chat.parent.span_id == agent.context.span_id
    assert chat.context.trace_id == agent.context.trace_id == int("a" * 32, 16)
    messages = json.loads(chat.attributes["gen_ai.input.messages"])
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool"]
    assert json.loads(tool.attributes["gen_ai.tool.call.arguments"]) == {"key": 0}
    assert tool.attributes["gen_ai.tool.call.result"] == "value 0"
    (event,) = readable["verdict goal"].events
    assert event.name == "gen_ai.evaluation.result"
    assert event.attributes["gen_ai.evaluation.score.value"] == 0.5
    assert event.attributes["gen_ai.evaluation.score.label"] == "success"


@pytest.mark.parametrize("content", ["none", "reference"])
def test_content_stays_behind_where_the_settings_say_so(tmp_path, content):
    recording = Recording(tmp_path)
    run = recording.run("a" * 32, task="a secret wish")
    run.model_calls_tool("c0", {"word": "secret"})
    run.run_tool("c0", {"word": "secret"}, "secret too")
    run.end("failed", answer="the secret", error_type="ValueError", error="secret text")
    spans = list(Workspace(tmp_path).spans())
    request = codec.encode_request(spans, content)

    assert b"secret" not in request
    assert b"secret" in codec.encode_request(spans)
    (trajectory,) = assemble(codec.OtlpReader().decode_request(request))
    assert (trajectory.status, len(trajectory.model_calls)) == ("failed", 1)
    references = [
        key
        for span in codec.OtlpReader().decode_request(request)
        for key in span.attributes
        if key.endswith(".ref")
    ]
    assert bool(references) == (content == "reference")


def test_bytes_that_are_no_request_are_named():
    with pytest.raises(JournalCorrupt, match="3 bytes that are not an OTLP request"):
        list(codec.OtlpReader().decode_request(b"\xff\xff\xff"))


def test_an_attribute_that_is_no_json_is_a_loss(tmp_path):
    Recording(tmp_path).write_run("a" * 32)
    spans = [codec.to_readable(span) for span in Workspace(tmp_path).spans()]
    broken = (
        codec.encode_request(Workspace(tmp_path).spans())
        .replace(b'{\\"key\\"', b"{{{{{{{{")
        .replace(b'{"key":0}', b'{"key":0!')
    )
    (trajectory,) = assemble(codec.OtlpReader().decode_request(broken))

    assert spans
    assert trajectory.losses["undecodable_attributes"] >= 1


def test_a_conversation_that_grows_is_decoded_once(tmp_path):
    Recording(tmp_path).write_run("a" * 32, steps=5)
    request = codec.encode_request(Workspace(tmp_path).spans())
    (trajectory,) = assemble(codec.OtlpReader().decode_request(request))
    first, *_, last = trajectory.model_calls

    assert first.messages[0] is last.messages[0]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
PLAIN = VALUES.filter(lambda value: value is not None)


@settings(deadline=None, max_examples=60)
@given(
    attributes=st.dictionaries(
        st.sampled_from([s.ANSWER, s.INPUT, s.NODE, s.STEP, s.EXTRAS, s.COST_USD, s.TAGS]), PLAIN
    )
)
def test_any_attribute_comes_back_as_it_was(attributes):
    span = Span(
        trace_id="1" * 32, span_id="2" * 16, parent_id=None, kind="node", name="n",
        start_ns=1, end_ns=2, status="ok", attributes=attributes,
        origin="received",
    )  # fmt: skip
    (back,) = codec.OtlpReader().decode_request(codec.encode_request([span]))

    assert e.canonical(back) == e.canonical(span)
