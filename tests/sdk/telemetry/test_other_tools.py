"""Spans of other tools, made by OpenTelemetry's own SDK, are read with their meaning."""

from __future__ import annotations

import json

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

from burnish.telemetry.otlp.codec import OtlpReader
from burnish.trajectories import assemble

CALL = {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "f", "arguments": {}}]}  # fmt: skip


def text(role, content):
    return {"role": role, "parts": [{"type": "text", "content": content}]}


@pytest.fixture
def trace():
    """Run a function with a tracer; return the trajectory of its trace."""

    def run(make):
        memory = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(memory))
        make(provider.get_tracer("other"))
        request = encode_spans(memory.get_finished_spans()).SerializeToString()
        (trajectory,) = assemble(OtlpReader().admit_request(request))
        return trajectory

    return run


def chat(tracer, given, *said, **attributes):
    with tracer.start_as_current_span("chat m") as span:
        span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"})
        span.set_attribute("gen_ai.input.messages", json.dumps(given))
        span.set_attribute("gen_ai.output.messages", json.dumps(list(said)))
        span.set_attributes({key.replace("__", "."): value for key, value in attributes.items()})


def agent(tracer, operation="invoke_agent", **attributes):
    given = {"gen_ai.operation.name": operation} | attributes
    return tracer.start_as_current_span(f"{operation} desk", attributes=given)


@pytest.mark.parametrize(
    ("part", "response"),
    [
        ({"result": {"city": "Oslo"}}, {"city": "Oslo"}),
        ({"content": "Oslo"}, "Oslo"),
        ({"response": "Oslo", "result": "Rome"}, "Oslo"),
        ({"result": None}, None),
    ],
)
@pytest.mark.parametrize("role", ["tool", "user"])
def test_the_result_of_a_tool_has_several_names(trace, part, response, role):
    result = {"type": "tool_call_response", "id": "c1", **part}

    def make(tracer):
        with agent(tracer):
            message = {"role": role, "parts": [result]}
            chat(tracer, [text("user", "hi"), CALL, message], text("assistant", "Oslo."))

    (call,) = trace(make).model_calls
    assert call.messages[2]["role"] == "tool"
    assert call.messages[2]["parts"][0]["response"] == response


def test_thoughts_and_pieces_of_a_reply_are_one_message(trace):
    thought = {"role": "assistant", "parts": [{"type": "thinking", "content": "hm"}]}

    def make(tracer):
        with agent(tracer):
            chat(tracer, [{"role": "user", "content": "hi"}], thought, text("assistant", "x"), CALL)

    (call,) = trace(make).model_calls
    assert call.messages == [text("user", "hi")]
    assert [part["type"] for part in call.reply["parts"]] == ["reasoning", "text", "tool_call"]


@pytest.mark.parametrize("given", [json.dumps([{"type": "text", "content": "Be brief."}]), "Be brief."])  # fmt: skip
def test_the_system_prompt_is_there_once(trace, given):
    def make(tracer):
        with agent(tracer):
            told = {"gen_ai__system_instructions": given}
            chat(tracer, [text("user", "hi")], text("assistant", "x"), **told)
            both = [text("system", "Be brief."), text("user", "hi")]
            chat(tracer, both, text("assistant", "x"), **told)

    for call in trace(make).model_calls:
        assert call.messages == [text("system", "Be brief."), text("user", "hi")]


def test_what_went_wrong_stands_in_status_and_event(trace):
    def make(tracer):
        with agent(tracer), tracer.start_as_current_span("chat m") as span:
            span.set_attribute("gen_ai.operation.name", "chat")
            span.record_exception(TimeoutError("down"))
            span.set_status(Status(StatusCode.ERROR, "the model is down"))

    error = trace(make).model_calls[0].error
    assert (error.type, error.message) == ("TimeoutError", "the model is down")


def test_a_workflow_has_a_name_and_ends_as_the_one_agent_in_it(trace):
    def make(tracer):
        named = {"gen_ai.workflow.name": "support"}
        with agent(tracer, "invoke_workflow", **named), agent(tracer) as span:
            span.set_status(Status(StatusCode.ERROR, "x"))

    trajectory = trace(make)
    assert (trajectory.agent, trajectory.status) == ("support", "failed")


def test_a_run_has_its_name_thread_question_and_answer(trace):
    def make(tracer):
        said = {
            "gen_ai.input.messages": json.dumps([text("user", "hi")]),
            "gen_ai.output.messages": json.dumps([text("assistant", "hello")]),
            "session.id": "t-1", "enduser.id": "u",
        }  # fmt: skip
        with agent(tracer, **said):
            chat(
                tracer,
                [text("user", "hi")],
                text("assistant", "hello"),
                gen_ai__usage__cache_creation__input_tokens=7,
            )

    run = trace(make)
    assert (run.agent, run.thread_id, run.user, run.answer) == ("desk", "t-1", "u", "hello")
    assert run.input == {"messages": [text("user", "hi")]}
    assert run.model_calls[0].usage.cache_write_tokens == 7


@pytest.mark.parametrize("result", ['{"b": 1, "a": 2}', "7", "null", "it is here"])
def test_a_text_that_a_tool_gave_stays_a_text(trace, result):
    def make(tracer):
        with agent(tracer), tracer.start_as_current_span("execute_tool f") as span:
            span.set_attribute("gen_ai.operation.name", "execute_tool")
            span.set_attribute("gen_ai.tool.call.result", result)

    assert trace(make).tool_runs[0].result == result
