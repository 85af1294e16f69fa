"""All 54 fields of a model call that training or audit needs are structured fields of the call."""

from uuid import UUID

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, wrap_tool_call
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver

import burnish
from burnish.journal.events import ModelEnded, ModelStarted, RunStarted, ToolEnded, ToolStarted
from burnish.testing import ScriptedChatModel

SCHEMA = {
    "type": "object",
    "properties": {
        "F-property": {"type": "string", "enum": ["F-enum-a", "F-enum-b"]},
        "nested": {"type": "object"},
    },
    "required": ["F-property"],
}
ARGUMENTS = {"F-property": "F-enum-a", "nested": {"grüße": [1.5, None, True]}}
SAMPLING = {
    "temperature": 0.11,
    "top_p": 0.22,
    "top_k": 33,
    "seed": 44,
    "max_tokens": 55,
    "stop": ["F-stop"],
    "frequency_penalty": 0.66,
    "min_p": 0.77,
    "parallel_tool_calls": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "F-format"}}


def with_artifact(**arguments):
    return "F-result", {"F-artifact": [1, 2]}


offered = StructuredTool.from_function(
    with_artifact,
    name="F_tool",
    description="F-description",
    args_schema=SCHEMA,
    response_format="content_and_artifact",
)


@tool
def F_broken(x: int) -> str:  # noqa: N802 - a sentinel
    """Raise."""
    raise ValueError("F-error-message")


def script():
    first = AIMessage(
        [
            {"type": "reasoning", "reasoning": "F-reasoning-block"},
            {"type": "thinking", "thinking": "F-thinking", "signature": "F-signature"},
            {"type": "text", "text": "F-assistant-text"},
        ],
        additional_kwargs={"reasoning_content": "F-reasoning-content"},
        tool_calls=[{"name": "F_tool", "args": ARGUMENTS, "id": "F-call-id"}],
        invalid_tool_calls=[
            {
                "name": "F_bad",
                "args": '{"F-invalid',
                "id": "i",
                "error": "F-why",
                "type": "invalid_tool_call",
            }
        ],
        id="F-assistant-id",
        usage_metadata={
            "input_tokens": 101,
            "output_tokens": 102,
            "total_tokens": 203,
            "input_token_details": {"cache_read": 103},
            "output_token_details": {"reasoning": 104},
        },
        response_metadata={
            "model_name": "F-response-model",
            "id": "F-response-id",
            "finish_reason": "F-finish",
            "system_fingerprint": "F-fingerprint",
            "logprobs": {"content": [{"token": "F-token", "logprob": -0.5}]},
            "burnish": {
                "adapter": "F@0123456789ab",
                "arm": "canary",
                "token_ids": [7, 8],
                "prompt_token_ids": [1, 2, 3],
            },
        },
    )
    second = AIMessage("", tool_calls=[{"name": "F_broken", "args": {"x": 1}, "id": "c2"}])
    return [first, second, AIMessage("F-final")]


@pytest.fixture
def recorded(journal):
    @wrap_tool_call
    def caught(request, handler):
        try:
            return handler(request)
        except ValueError as error:
            return ToolMessage(str(error), tool_call_id=request.tool_call["id"], status="error")

    model = ScriptedChatModel(script=script(), model="F-request-model")
    graph = create_agent(
        model,
        [offered, F_broken],
        system_prompt="F-system",
        name="F-agent",
        middleware=[caught, _Sampling()],
        checkpointer=InMemorySaver(),
    )
    question = HumanMessage(
        [
            {"type": "text", "text": "F-user-text"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,Ri1pbWFnZQ=="}},
        ],
        id="F-user-id",
        name="F-user-name",
    )
    burnish.wrap(graph, agent="fields").invoke(
        {"messages": [question]},
        {
            "configurable": {"thread_id": "F-thread"},
            "metadata": {"F-key": "F-custom"},
            "tags": ["F-tag"],
        },
    )
    return journal


class _Sampling(AgentMiddleware):
    """Sets the parameters of each call, as users do."""

    def wrap_model_call(self, request, handler):
        settings = {**SAMPLING, "response_format": FORMAT}
        return handler(request.override(model_settings=settings, tool_choice="F_tool"))


def of_messages(journal):
    first, second, _ = journal.of(ModelStarted)
    system, user = (journal.value(ref) for ref in first.messages)
    assistant = journal.value(second.messages[2])
    said = next(part for part in assistant["parts"] if part["type"] == "text")
    final = journal.value(journal.of(ModelEnded)[-1].reply)
    return {
        "system prompt": (system["parts"][0]["content"], "F-system"),
        "user text": (user["parts"][0]["content"], "F-user-text"),
        "user message id": (user["id"], "F-user-id"),
        "user message name": (user["name"], "F-user-name"),
        "image content": (user["parts"][1]["content"], "Ri1pbWFnZQ=="),
        "assistant text inside a block list": (said["content"], "F-assistant-text"),
        "final text": (final["parts"][0]["content"], "F-final"),
    }


def of_the_reply(journal):
    reply = journal.value(journal.of(ModelEnded)[0].reply)
    thoughts = [part for part in reply["parts"] if part["type"] == "reasoning"]
    call = next(part for part in reply["parts"] if part["type"] == "tool_call")
    invalid = next(part for part in reply["parts"] if part["type"] == "invalid_tool_call")
    broken = (invalid["arguments"], invalid["error"])
    return {
        "assistant message id": (reply["id"], "F-assistant-id"),
        "reasoning_content": (thoughts[0]["content"], "F-reasoning-content"),
        "block of type reasoning": (thoughts[1]["content"], "F-reasoning-block"),
        "block of type thinking": (thoughts[2]["content"], "F-thinking"),
        "thinking signature": (thoughts[2]["signature"], "F-signature"),
        "call id": (call["id"], "F-call-id"),
        "call arguments": (call["arguments"], ARGUMENTS),
        "invalid tool calls": (broken, ('{"F-invalid', "F-why")),
    }


def of_tools(journal):
    first, second, _ = journal.of(ModelStarted)
    definition = journal.value(first.tools)[0]
    properties = definition["parameters"]["properties"]
    sent = [journal.value(ref) for ref in second.messages]
    result = next(m for m in sent if m["role"] == "tool" and m["parts"][0]["id"] == "F-call-id")
    started, _ = journal.of(ToolStarted)
    ended, failed = journal.of(ToolEnded)
    kept = journal.value(ended.result)
    return {
        "tool name": (definition["name"], "F_tool"),
        "tool description": (definition["description"], "F-description"),
        "JSON-schema property": ("F-property" in properties, True),
        "schema enum": (properties["F-property"]["enum"], ["F-enum-a", "F-enum-b"]),
        "tool result": (kept["response"], "F-result"),
        "tool result in the request": (result["parts"][0]["response"], "F-result"),
        "artifact": (kept["artifact"], {"F-artifact": [1, 2]}),
        "error message": ((failed.error, failed.is_error), ("F-error-message", True)),
        "arguments of the run": (journal.value(started.arguments), ARGUMENTS),
    }


def of_the_request(journal):
    first = journal.of(ModelStarted)[0]
    request = journal.value(first.request)
    sampling = request["sampling"]
    return {
        **{name: (sampling[name], value) for name, value in SAMPLING.items()},
        "tool_choice": (request["tool_choice"], "F_tool"),
        "response_format": (request["response_format"], FORMAT),
        "request model": (first.model, "F-request-model"),
    }


def of_the_response(journal):
    ended = journal.of(ModelEnded)[0]
    said = journal.value(ended.extras)
    logprobs = (ended.logprobs, said["logprobs"]["content"][0]["token"])
    usage = {
        "input_tokens": 101,
        "output_tokens": 102,
        "cached_tokens": 103,
        "reasoning_tokens": 104,
    }
    return {
        "response model": (ended.model, "F-response-model"),
        "response id": (ended.response_id, "F-response-id"),
        "system fingerprint": (said["system_fingerprint"], "F-fingerprint"),
        "adapter version": ((ended.adapter, ended.arm), ("F@0123456789ab", "canary")),
        "finish reason": (ended.finish_reason, "F-finish"),
        "logprobs": (logprobs, ([-0.5], "F-token")),
        "completion token ids": (ended.token_ids, [7, 8]),
        "prompt token ids": (ended.prompt_token_ids, [1, 2, 3]),
        "usage": (ended.usage, usage),
    }


def of_the_run(journal):
    first = journal.of(ModelStarted)[0]
    extras = journal.value(first.extras)
    return {
        "thread id": (journal.of(RunStarted)[0].thread_id, "F-thread"),
        "custom metadata": (extras["metadata"], {"F-key": "F-custom"}),
        "tags": (extras["tags"], ["F-tag"]),
        "graph node": (first.node, "model"),
        "graph step": (first.step, 1),
        "checkpoint namespace": (first.namespace.split(":")[0], "model"),
        "agent name": (first.speaker, "F-agent"),
        "LangChain run id": (UUID(bytes=first.run_id).version, 7),
    }


GROUPS = [of_messages, of_the_reply, of_tools, of_the_request, of_the_response, of_the_run]


def test_all_fields_are_structured_on_the_call(recorded):
    found = {name: pair for group in GROUPS for name, pair in group(recorded).items()}

    wrong = {name: pair for name, pair in found.items() if pair[0] != pair[1]}
    assert wrong == {}


def test_token_ids_do_not_stand_in_messages(recorded):
    stored = recorded.value(recorded.of(ModelEnded)[0].reply)

    assert "burnish" not in stored["response_metadata"]
    assert "logprobs" not in stored["response_metadata"]
