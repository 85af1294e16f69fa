"""Options of any provider's model reach an OpenAI-compatible server in its own form."""

from __future__ import annotations

import pytest
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import tool

import burnish
from burnish import settings
from burnish.errors import ServingError
from burnish.langchain.request_forms import convert_to_openai, read_sampling
from burnish.testing import ScriptedChatModel

NAMED = {"type": "function", "function": {"name": "look_up"}}


@tool
def look_up(order: int) -> str:
    """Look up an order."""
    return "Oslo"


SCHEMA = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
FORMS = [
    look_up,
    {"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}},
    {"name": "look_up", "description": "Look up an order.", "input_schema": SCHEMA},
    {"type": "custom", "name": "look_up", "input_schema": SCHEMA},
    {"toolSpec": {"name": "look_up", "description": "d", "inputSchema": {"json": SCHEMA}}},
    {"function_declarations": [{"name": "look_up", "description": "d", "parameters": SCHEMA}]},
]


@pytest.mark.parametrize("form", FORMS)
def test_a_tool_of_any_provider_is_an_openai_tool(form):
    (found,) = convert_to_openai({"tools": [form]}).tools
    assert found["type"] == "function"
    assert found["function"]["name"] == "look_up"
    parameters = found["function"]["parameters"]
    assert parameters["properties"]["order"]["type"] == "integer"
    assert parameters["required"] == ["order"]


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ({"tool_choice": "auto"}, "auto"),
        ({"tool_choice": "any"}, "required"),
        ({"tool_choice": "required"}, "required"),
        ({"tool_choice": True}, "required"),
        ({"tool_choice": "none"}, "none"),
        ({"tool_choice": "look_up"}, NAMED),
        ({"tool_choice": NAMED}, NAMED),
        ({"tool_choice": {"type": "any"}}, "required"),
        ({"tool_choice": {"type": "auto"}}, "auto"),
        ({"tool_choice": {"type": "none"}}, "none"),
        ({"tool_choice": {"type": "tool", "name": "look_up"}}, NAMED),
        ({"tool_choice": {"any": {}}}, "required"),
        ({"tool_choice": {"auto": {}}}, "auto"),
        ({"tool_choice": {"tool": {"name": "look_up"}}}, NAMED),
        ({"tool_config": {"function_calling_config": {"mode": "ANY"}}}, "required"),
        (
            {
                "tool_config": {
                    "function_calling_config": {
                        "mode": "ANY",
                        "allowed_function_names": ["look_up"],
                    }
                }
            },
            NAMED,
        ),
        ({}, None),
    ],
)
def test_a_choice_of_any_provider_is_an_openai_choice(given, right):
    assert convert_to_openai(given).tool_choice == right


def test_options_are_translated_or_named_as_dropped():
    found = convert_to_openai(
        {
            "max_output_tokens": 5,
            "stop_sequences": ["x"],
            "top_k": 3,
            "cache_control": {"type": "ephemeral"},
            "thinking": {"type": "enabled"},
            "temperature": 0.5,
            "model": "claude",
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        }
    )
    assert found.options == {
        "max_tokens": 5,
        "stop": ["x"],
        "temperature": 0.5,
        "parallel_tool_calls": False,
        "extra_body": {"top_k": 3},
    }
    assert found.dropped == ("cache_control", "thinking")


def test_what_has_no_counterpart_is_refused():
    with pytest.raises(ServingError, match="is executed by its provider"):
        convert_to_openai({"tools": [{"type": "web_search_20250305", "name": "web_search"}]})
    with pytest.raises(ServingError, match="has no counterpart"):
        convert_to_openai({"tool_choice": {"type": "surprise"}})


def test_sampling_settings_of_any_model_have_openais_names():
    class Own:
        temperature = 0.5
        max_output_tokens = 7
        stop_sequences = ("end",)
        top_k = None
        seed = 3

    assert read_sampling(Own()) == {
        "temperature": 0.5,
        "max_tokens": 7,
        "stop": ("end",),
        "seed": 3,
    }


def test_an_instance_that_langchain_makes_of_a_routed_class_follows_the_same_route(tmp_path):
    burnish.configure(home=tmp_path)
    try:
        routed = burnish.route(
            ScriptedChatModel(script=["hello"], repeat=True, temperature=0.0), agent="a"
        )
        field = ConfigurableField(id="t")
        warm = routed.configurable_fields(temperature=field).with_config(configurable={"t": 0.9})
        for model in (warm, type(routed)(script=["hello"], repeat=True)):
            said = model.invoke("hi")
            assert said.content == "hello"
            assert said.response_metadata["burnish"]["arm"] == "stable"
    finally:
        settings.reset()
