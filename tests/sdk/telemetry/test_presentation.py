"""Shipped spans have the attributes that other receivers need, and come back unchanged."""

from __future__ import annotations

import json

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool, ToolException
from shipped_copies import comparable

import burnish
from burnish import settings
from burnish.journal.writer import close_shared
from burnish.records import Outcome
from burnish.telemetry import semconv as s
from burnish.telemetry.otlp import codec
from burnish.testing import ScriptedChatModel
from burnish.trajectories import assemble
from burnish.workspace import Workspace


def _find(x: str) -> str:
    if x == "bad":
        raise ToolException("no such x")
    return "it is here"


FIND = StructuredTool.from_function(
    _find, name="find", description="Finds x.", handle_tool_error=True
)
CALLS = [
    {"name": "find", "args": {"x": word}, "id": f"c{number}"}
    for number, word in enumerate(("bad", "good"), 1)
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    home = tmp_path_factory.mktemp("desk")
    settings.configure(home=home)
    model = ScriptedChatModel(script=[AIMessage("Let me see.", tool_calls=CALLS), AIMessage("Here.")])  # fmt: skip
    graph = burnish.wrap(create_agent(model, [FIND], system_prompt="Be brief."), agent="desk")
    with burnish.task(user="u-1"):
        graph.invoke(
            {"messages": [("user", "Where is x?")]}, {"configurable": {"thread_id": "t-1"}}
        )
    Workspace(home).append_outcome(Outcome(source="crm", success=True), thread_id="t-1")
    close_shared()
    yield Workspace(home)
    settings.reset()


@pytest.fixture(scope="module")
def shipped(workspace):
    """Return kind, attributes and OpenTelemetry span of each span."""
    return [
        (span, codec.to_attributes(span), codec.to_readable(span)) for span in workspace.spans()
    ]


def of(shipped, kind):
    return [(told, readable) for span, told, readable in shipped if span.kind == kind]


def test_the_run_says_question_and_answer(shipped):
    ((told, readable),) = of(shipped, "agent")
    (asked,), (said,) = (json.loads(told[k]) for k in (s.INPUT_MESSAGES, s.OUTPUT_MESSAGES))

    assert asked == {"role": "user", "parts": [{"type": "text", "content": "Where is x?"}]}
    assert (said["parts"][0]["content"], said["finish_reason"]) == ("Here.", "stop")
    assert (told["input.value"], told["output.value"]) == ("Where is x?", "Here.")
    assert readable.instrumentation_scope.schema_url.startswith("https://opentelemetry.io/schemas/")


def test_every_reply_has_its_finish_reason(shipped):
    reasons = [
        [message["finish_reason"] for message in json.loads(told[s.OUTPUT_MESSAGES])]
        for told, _ in of(shipped, "model")
    ]
    assert reasons == [["tool_call"], ["stop"]]


def test_a_failed_tool_is_an_error_and_a_text_is_a_text(shipped):
    failed, found = (
        next(pair for pair in of(shipped, "tool") if pair[0][s.TOOL_CALL_ID] == call)
        for call in ("c1", "c2")
    )
    assert (failed[1].status.status_code.name, failed[0][s.ERROR_TYPE]) == ("ERROR", "tool_error")
    assert (found[1].status.status_code.name, found[0].get(s.ERROR_TYPE)) == ("OK", None)
    assert found[0][s.TOOL_RESULT] == "it is here"
    assert found[0][s.TOOL_DESCRIPTION] == "Finds x."


def test_every_span_says_whose_it_is(shipped):
    for kind in ("agent", "model", "tool", "node"):
        for told, _ in of(shipped, kind):
            assert (told[s.AGENT], told[s.CONVERSATION], told[s.USER]) == ("desk", "t-1", "u-1")
    assert {told["openinference.span.kind"] for told, _ in of(shipped, "node")} == {"CHAIN"}


def test_all_that_was_added_goes_again(workspace):
    spans = list(workspace.spans())
    back = list(codec.OtlpReader().decode_request(codec.encode_request(spans)))
    by_id = {span.span_id: span for span in back}

    assert comparable(assemble(back)) == comparable(workspace.trajectories())
    for span in spans:
        assert by_id[span.span_id].attributes == span.attributes
        assert by_id[span.span_id].status == span.status


@pytest.mark.parametrize("content", ["none", "reference"])
def test_no_text_is_added_where_content_stays_behind(workspace, content):
    request = codec.encode_request(workspace.spans(), content)
    assert not [text for text in (b"Where is x?", b"Here.", b"it is here") if text in request]


def test_both_names_of_cache_writes_are_said():
    span = codec.Span(
        trace_id="1" * 32, span_id="2" * 16, parent_id=None, kind="model", name="chat",
        start_ns=1, end_ns=2, status="ok", attributes={s.USAGE["cache_write_tokens"]: 5},
    )  # fmt: skip
    assert codec.to_attributes(span)["gen_ai.usage.cache_creation.input_tokens"] == 5


def test_an_outcome_of_a_thread_lies_in_the_trace_that_it_judges(collector, configured):
    configured(otlp_endpoint=collector.url)
    with burnish.trace(agent="desk", thread_id="t-1"):
        pass
    burnish.outcome(thread_id="t-1", success=True, source="crm")
    assert burnish.flush(20) == 0

    run, outcome = collector.spans()
    assert outcome.attributes[s.FACT] == "outcome"
    assert (outcome.trace_id, outcome.parent_id) == (run.trace_id, run.span_id)


def test_a_tool_error_that_the_model_saw_is_the_status_of_its_span(shipped):
    said = {
        told[s.TOOL_CALL_ID]: readable.status.description for told, readable in of(shipped, "tool")
    }

    assert said == {"c1": "no such x", "c2": None}


def test_a_tool_says_its_arguments_as_the_text_that_lists_show(shipped):
    assert {told["input.value"] for told, _ in of(shipped, "tool")} == {
        '{"x":"bad"}', '{"x":"good"}'
    }  # fmt: skip


def test_outcomes_are_labelled_and_are_evaluators(shipped):
    ((told, _),) = of(shipped, "fact")

    assert (told[s.LABEL], told["openinference.span.kind"]) == ("pass", "EVALUATOR")


def made(**attributes):
    return codec.Span(
        trace_id="1" * 32, span_id="2" * 16, parent_id=None, kind="tool", name="x",
        start_ns=1, end_ns=2, status="ok", attributes=attributes,
    )  # fmt: skip


def test_retrievers_and_memories_say_what_was_asked_and_found():
    documents = [{"content": "Page 3.", "id": "p3"}]
    found = codec.to_attributes(
        made(
            **{
                s.OPERATION: "retrieval",
                s.RETRIEVAL_QUERY: "weights",
                s.RETRIEVAL_DOCUMENTS: documents,
            }
        )
    )
    assert found["input.value"] == "weights"
    assert json.loads(found["output.value"]) == documents
    assert found["retrieval.documents.0.document.content"] == "Page 3."
    assert found["openinference.span.kind"] == "RETRIEVER"
    put = made(
        **{s.OPERATION: "upsert_memory", s.INPUT: {"key": "k"}, s.MEMORY_RECORDS: [{"id": "k"}]}
    )
    assert json.loads(codec.to_attributes(put)["input.value"]) == {"key": "k"}
    (back,) = codec.OtlpReader().decode_request(codec.encode_request([put]))
    assert back.attributes == put.attributes
    hidden = codec.encode_request(
        [put, made(**{s.OPERATION: "retrieval", s.RETRIEVAL_QUERY: "weights"})], "none"
    )
    assert b"weights" not in hidden


def test_a_run_without_an_answer_says_none():
    run = codec.Span(
        trace_id="1" * 32, span_id="2" * 16, parent_id=None, kind="agent", name="x",
        start_ns=1, end_ns=2, status="error",
        attributes={s.OPERATION: "invoke_agent", s.ANSWER: "", s.ERROR_MESSAGE: "away"},
    )  # fmt: skip

    assert "output.value" not in codec.to_attributes(run)
    assert codec.to_readable(run).status.description == "away"
