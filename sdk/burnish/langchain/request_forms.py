"""Convert the options of a call from any provider's form to OpenAI's.

A routed agent binds tools and options to its own model, such as Claude, Gemini or Bedrock. The version
that answers instead is served by an OpenAI-compatible server or the embedded engine, which use other
names. `convert_to_openai` converts options that have a counterpart and returns the names of the rest,
so that no option is dropped silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from langchain_core.utils.function_calling import convert_to_openai_tool

from burnish.errors import ServingError

_OTHER_NAMES = {
    "stop_sequences": "stop",
    "max_output_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "num_predict": "max_tokens",
    "maxTokens": "max_tokens",
    "topP": "top_p",
    "stopSequences": "stop",
    "random_seed": "seed",
    "repeat_penalty": "repetition_penalty",
}
_TAKEN = frozenset(
    """temperature max_tokens top_p seed stop frequency_penalty presence_penalty logit_bias logprobs
    top_logprobs parallel_tool_calls response_format stream_options extra_body extra_headers
    reasoning_effort""".split()  # noqa: SIM905 - a list of words
)
_BEYOND_OPENAI = frozenset({"top_k", "min_p", "repetition_penalty"})  # vLLM and burnish serve
_CHOICE_WORDS = {"any": "required", "required": "required", "auto": "auto", "none": "none"}
_ATTRIBUTES = ("temperature", "max_tokens", "top_p", "top_k", "seed", "stop")


class OpenAIRequest(NamedTuple):
    """Tools, tool choice and options in OpenAI's form."""

    tools: list[dict[str, Any]]
    tool_choice: Any
    options: dict[str, Any]
    dropped: tuple[str, ...]
    """Names of options without a counterpart."""


def convert_to_openai(kwargs: Mapping[str, Any]) -> OpenAIRequest:
    """Convert the options of a call to OpenAI's form.

    Args:
        kwargs: Options bound to the call, in the form of the agent's own model.

    Raises:
        ServingError: If a tool or a tool choice has no counterpart.
    """
    given = dict(kwargs)
    given.pop("model", None)
    given.pop("model_name", None)
    tools = [tool for item in given.pop("tools", None) or () for tool in _convert_tool(item)]
    tools += [tool for item in given.pop("functions", None) or () for tool in _convert_tool(item)]
    choice = _convert_choice(given)
    options: dict[str, Any] = {}
    beyond: dict[str, Any] = {}
    dropped: list[str] = []
    for name, value in given.items():
        known = _OTHER_NAMES.get(name, name)
        if value is None:
            continue
        if known in _TAKEN:
            options.setdefault(known, value)
        elif known in _BEYOND_OPENAI:
            beyond[known] = value
        else:
            dropped.append(name)
    if choice is not None and choice[1] is not None:
        options.setdefault("parallel_tool_calls", choice[1])
    if beyond:
        options["extra_body"] = {**beyond, **(options.get("extra_body") or {})}
    return OpenAIRequest(tools, choice[0] if choice else None, options, tuple(dropped))


def read_sampling(model: Any) -> dict[str, Any]:
    """Read the sampling settings of any provider's model, under OpenAI's names."""
    found: dict[str, Any] = {}
    for name in (*_ATTRIBUTES, *_OTHER_NAMES):
        value = getattr(model, name, None)
        if value is not None and isinstance(value, int | float | str | list | tuple):
            known = _OTHER_NAMES.get(name, name)
            found.setdefault(known, tuple(value) if isinstance(value, list) else value)
    return found


def _convert_tool(item: Any) -> list[dict[str, Any]]:
    """Convert one entry of a tool list; entries of Gemini and Bedrock wrap one or more tools."""
    if isinstance(item, Mapping):
        declared = item.get("function_declarations") or item.get("functionDeclarations")
        if declared:
            return [tool for one in declared for tool in _convert_tool(one)]
        kind = item.get("type")
        if isinstance(kind, str) and kind not in ("function", "custom", "object"):
            raise ServingError(
                f"the tool {item.get('name', kind)!r} of type {kind!r} is executed by its provider",
                "tools that the agent executes itself",
                "route an agent without such tools",
            )
    try:
        return [convert_to_openai_tool(_normalize_schema(item))]
    except (ValueError, TypeError, KeyError) as error:
        raise ServingError(
            f"a tool in a form that has no counterpart at the adapter's server: {str(item)[:80]}",
            "a LangChain tool, or a schema of OpenAI, Anthropic, Google or Bedrock",
            "bind tools with model.bind_tools",
        ) from error


def _normalize_schema(item: Any) -> Any:
    """Move a schema's parameters to the key that LangChain reads."""
    if isinstance(item, Mapping) and isinstance(item.get("toolSpec"), Mapping):
        spec = item["toolSpec"]
        schema = spec.get("inputSchema", {})
        return {
            "name": spec["name"],
            "description": spec.get("description", ""),
            "parameters": schema.get("json", schema),
        }
    if isinstance(item, Mapping) and "input_schema" in item:
        return {
            "name": item["name"],
            "description": item.get("description", ""),
            "parameters": item["input_schema"],
        }
    return item


def _convert_choice(given: dict[str, Any]) -> tuple[Any, bool | None] | None:
    """Remove the tool choice; return it and the permission of parallel calls, if given."""
    choice = given.pop("tool_choice", None)
    if choice is None:
        choice = _convert_google_choice(given.pop("tool_config", None))
    if choice is None or choice is False:
        return None
    if choice is True:
        return "required", None
    if isinstance(choice, str):
        return _CHOICE_WORDS.get(choice) or _name_choice(choice), None
    if isinstance(choice, Mapping):
        parallel = choice.get("disable_parallel_tool_use")
        return _convert_choice_mapping(choice), None if parallel is None else not parallel
    raise _refuse_choice(choice)


def _convert_choice_mapping(choice: Mapping[str, Any]) -> Any:
    kind = choice.get("type")
    if kind == "function":
        return _name_choice(choice.get("function", choice)["name"])
    if kind == "tool":
        return _name_choice(choice["name"])
    if kind in _CHOICE_WORDS:
        return _CHOICE_WORDS[kind]
    for word in ("any", "auto"):  # Bedrock's {"any": {}}
        if word in choice:
            return _CHOICE_WORDS[word]
    if isinstance(choice.get("tool"), Mapping):
        return _name_choice(choice["tool"]["name"])
    raise _refuse_choice(choice)


def _convert_google_choice(config: Any) -> Any:
    """Convert Gemini's tool_config to a mode or to the single allowed name."""
    if not isinstance(config, Mapping):
        return None
    calling = config.get("function_calling_config") or config.get("functionCallingConfig") or {}
    names = calling.get("allowed_function_names") or calling.get("allowedFunctionNames") or ()
    if len(names) == 1:
        return names[0]
    return str(calling["mode"]).lower() if calling.get("mode") else None


def _name_choice(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def _refuse_choice(choice: Any) -> ServingError:
    return ServingError(
        f"tool_choice {str(choice)[:80]} has no counterpart at the adapter's server",
        '"auto", "none", "required" or the name of a tool',
        "bind tools with model.bind_tools(tools, tool_choice=...)",
    )
