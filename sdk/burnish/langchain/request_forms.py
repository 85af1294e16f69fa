"""A call's options in the words of any provider, put into OpenAI's.

A routed agent binds tools and options to its own model: Claude's, Gemini's, Bedrock's. The version
that answers in its place is served by an OpenAI-compatible server or by the embedded engine, which
know other names, or none for what only that provider has. `to_openai` translates what has a
counterpart and returns the names of the rest, so that nothing is left out unseen.
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
_BEYOND_OPENAI = frozenset({"top_k", "min_p", "repetition_penalty"})  # of vLLM and burnish serve
_CHOICE_WORDS = {"any": "required", "required": "required", "auto": "auto", "none": "none"}
_ATTRIBUTES = ("temperature", "max_tokens", "top_p", "top_k", "seed", "stop")


class OpenAIRequest(NamedTuple):
    """Tools, tool choice and options in OpenAI's form."""

    tools: list[dict[str, Any]]
    tool_choice: Any
    options: dict[str, Any]
    dropped: tuple[str, ...]
    """Names of options that only the provider of the agent's own model has."""


def to_openai(kwargs: Mapping[str, Any]) -> OpenAIRequest:
    """The options of a call in OpenAI's form.

    Args:
        kwargs: What the call was bound with, in the form of the agent's own model.

    Raises:
        ServingError: If a tool or a tool choice has no counterpart.
    """
    given = dict(kwargs)
    given.pop("model", None)
    given.pop("model_name", None)
    tools = [tool for item in given.pop("tools", None) or () for tool in _tools(item)]
    tools += [tool for item in given.pop("functions", None) or () for tool in _tools(item)]
    choice = _choice(given)
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


def sampling_of(model: Any) -> dict[str, Any]:
    """The sampling settings of a model of any provider, in OpenAI's names."""
    found: dict[str, Any] = {}
    for name in (*_ATTRIBUTES, *_OTHER_NAMES):
        value = getattr(model, name, None)
        if value is not None and isinstance(value, int | float | str | list | tuple):
            known = _OTHER_NAMES.get(name, name)
            found.setdefault(known, tuple(value) if isinstance(value, list) else value)
    return found


def _tools(item: Any) -> list[dict[str, Any]]:
    """One entry of a list of tools; Gemini's and Bedrock's hold several or wrap them."""
    if isinstance(item, Mapping):
        declared = item.get("function_declarations") or item.get("functionDeclarations")
        if declared:
            return [tool for one in declared for tool in _tools(one)]
        kind = item.get("type")
        if isinstance(kind, str) and kind not in ("function", "custom", "object"):
            raise ServingError(
                f"the tool {item.get('name', kind)!r} of type {kind!r} is run by its provider",
                "tools that the agent runs itself",
                "route an agent without such tools",
            )
    try:
        return [convert_to_openai_tool(_spec(item))]
    except (ValueError, TypeError, KeyError) as error:
        raise ServingError(
            f"a tool in a form that has no counterpart at the adapter's server: {str(item)[:80]}",
            "a LangChain tool, or a schema of OpenAI, Anthropic, Google or Bedrock",
            "bind tools with model.bind_tools",
        ) from error


def _spec(item: Any) -> Any:
    """A schema whose parameters stand under the key that LangChain reads."""
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


def _choice(given: dict[str, Any]) -> tuple[Any, bool | None] | None:
    """The tool choice, and whether parallel calls are allowed where it says so; taken out."""
    choice = given.pop("tool_choice", None)
    if choice is None:
        choice = _google_choice(given.pop("tool_config", None))
    if choice is None or choice is False:
        return None
    if choice is True:
        return "required", None
    if isinstance(choice, str):
        return _CHOICE_WORDS.get(choice) or _named(choice), None
    if isinstance(choice, Mapping):
        parallel = choice.get("disable_parallel_tool_use")
        return _choice_of_mapping(choice), None if parallel is None else not parallel
    raise _no_counterpart(choice)


def _choice_of_mapping(choice: Mapping[str, Any]) -> Any:
    kind = choice.get("type")
    if kind == "function":
        return _named(choice.get("function", choice)["name"])
    if kind == "tool":
        return _named(choice["name"])
    if kind in _CHOICE_WORDS:
        return _CHOICE_WORDS[kind]
    for word in ("any", "auto"):  # Bedrock's {"any": {}}
        if word in choice:
            return _CHOICE_WORDS[word]
    if isinstance(choice.get("tool"), Mapping):
        return _named(choice["tool"]["name"])
    raise _no_counterpart(choice)


def _google_choice(config: Any) -> Any:
    """Gemini's tool_config as a choice of a word, or of the one allowed name."""
    if not isinstance(config, Mapping):
        return None
    calling = config.get("function_calling_config") or config.get("functionCallingConfig") or {}
    names = calling.get("allowed_function_names") or calling.get("allowedFunctionNames") or ()
    if len(names) == 1:
        return names[0]
    return str(calling["mode"]).lower() if calling.get("mode") else None


def _named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def _no_counterpart(choice: Any) -> ServingError:
    return ServingError(
        f"tool_choice {str(choice)[:80]} has no counterpart at the adapter's server",
        '"auto", "none", "required" or the name of a tool',
        "bind tools with model.bind_tools(tools, tool_choice=...)",
    )
