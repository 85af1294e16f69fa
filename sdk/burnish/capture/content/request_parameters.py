"""Read the parameters of a chat model's request: tools, choices, sampling, model.

`read_request` handles the spellings of LangChain's chat models.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from burnish.records import Json, Tool

_NO_PARAMETER = frozenset(
    {"_type", "model", "model_name", "tools", "functions", "tool_choice", "response_format"}
)
_FORMS = ("function", "form")

_PLACE = frozenset(
    {
        "langgraph_node", "langgraph_step", "langgraph_checkpoint_ns", "langgraph_triggers",
        "langgraph_path", "langgraph_request_id", "checkpoint_ns", "thread_id", "lc_agent_name",
        "lc_versions", "ls_integration", "ls_provider", "ls_model_name", "ls_model_type",
        "ls_temperature", "ls_max_tokens", "ls_stop", "ls_agent_type",
    }
)  # fmt: skip
_POSITIONS = ("seq:step", "graph:step", "map:key")
_FIRST_POSITIONS = frozenset(f"{kind}:{n}" for kind in _POSITIONS[:2] for n in range(100))


class Request(NamedTuple):
    """The parameters of a call, without its messages."""

    tools: list[Tool] | None
    parameters: dict[str, Json]  # tool_choice, response_format, sampling
    model: str | None


def read_request(params: Mapping[str, Any]) -> Request:
    """Sort invocation parameters of a chat model by meaning."""
    offered = params.get("tools") or params.get("functions")
    sampling = {
        key: value
        for key, value in params.items()
        if value is not None and key not in _NO_PARAMETER
    }
    parameters: dict[str, Json] = {}
    for name in ("tool_choice", "response_format"):
        if params.get(name) is not None:
            parameters[name] = params[name]
    if sampling:
        parameters["sampling"] = sampling
    model = params.get("model") or params.get("model_name")
    return Request(
        tools=[encode_tool(tool) for tool in offered] if offered else None,
        parameters=parameters,
        model=model if isinstance(model, str) else None,
    )


def encode_tool(tool: Any) -> Tool:
    """Convert a tool definition to the records' form.

    `form` records a spelling other than OpenAI's nested one, so that `decode_tool` returns the
    definition as it was sent.
    """
    if not isinstance(tool, dict):
        described = _describe_tool(tool)
        if described is None:
            return {"type": "verbatim", "name": "verbatim", "value": tool}
        tool = described
    function = tool.get("function")
    if isinstance(function, dict) and "form" not in function:
        around = {key: value for key, value in tool.items() if key not in ("type", "function")}
        flat: Tool = {**function, "type": tool.get("type", "function")}
        if around or "type" in function or "type" not in tool:
            flat["form"] = {"around": around, "typed": "type" in tool}
            if "type" in function:
                flat["form"]["type"] = function["type"]
        return flat
    if "form" in tool:
        return {"type": "verbatim", "name": "verbatim", "value": tool}
    if "input_schema" in tool and "parameters" not in tool:
        rest = {key: value for key, value in tool.items() if key != "input_schema"}
        flat = {**rest, "type": "function", "parameters": tool["input_schema"]}
        flat["form"] = {"input_schema": True, **({"type": tool["type"]} if "type" in tool else {})}
        return flat
    if "name" in tool and "type" not in tool:
        return {**tool, "type": "function", "form": "bare"}
    kind = str(tool.get("type", "tool"))
    lacking = {key: kind for key in ("name", "type") if key not in tool}
    return {**tool, **lacking, "form": {"lacking": sorted(lacking)} if lacking else "flat"}


def decode_tool(tool: Tool) -> dict[str, Any]:
    """Return the definition of `encode_tool` as it was sent."""
    if tool.get("type") == "verbatim":
        return tool["value"]
    form = tool.get("form")
    rest = {key: value for key, value in tool.items() if key not in ("type", "form")}
    if form == "flat":
        return {**rest, "type": tool["type"]} if "type" in tool else rest
    if isinstance(form, dict) and "lacking" in form:
        return {
            key: value
            for key, value in tool.items()
            if key not in form["lacking"] and key != "form"
        }
    if form == "bare":
        return rest
    if isinstance(form, dict) and "input_schema" in form:
        rest["input_schema"] = rest.pop("parameters")
        return {**rest, **({"type": form["type"]} if "type" in form else {})}
    form = form or {"around": {}, "typed": True}
    function = {**rest, **({"type": form["type"]} if "type" in form else {})}
    outer = {"type": tool["type"]} if form["typed"] else {}
    return {**outer, **form["around"], "function": function}


def _describe_tool(tool: Any) -> dict[str, Any] | None:
    """Describe a tool object that a model bound unchanged; None if it is not a tool."""
    from langchain_core.utils.function_calling import convert_to_openai_tool

    try:
        return convert_to_openai_tool(tool)
    except Exception:  # noqa: BLE001 - of any type; it is kept unchanged
        return None


def own_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the user's part of a run's metadata, without the frameworks' keys."""
    own = _own_names(tuple(metadata)) if metadata else ()
    return {name: metadata[name] for name in own} if own and metadata else {}


@functools.lru_cache(maxsize=256)
def _own_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in _PLACE and not name.startswith("__"))


def own_tags(tags: list[str] | None) -> list[str]:
    """Return the user's tags of a run, without the frameworks' position tags."""
    if not tags or _FIRST_POSITIONS.issuperset(tags):
        return []
    return [tag for tag in tags if not tag.startswith(_POSITIONS)]
