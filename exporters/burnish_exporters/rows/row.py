"""Build the rows of a dataset from a trajectory: a conversation, its loss flags, and its origin."""

from __future__ import annotations

from typing import Any

import msgspec

from burnish.records import Json, Tool, Trajectory, Verdict
from burnish_exporters.rows.canonical_json import hash_json
from burnish_exporters.rows.chat import Chat
from burnish_exporters.rows.contexts import RowContext, join_contexts
from burnish_exporters.rows.validity import MAX_CHARS, find_row_problem, tool_name


class Row(msgspec.Struct, kw_only=True):
    """One training example; `messages`, `tools` and `calls` are plain data."""

    row_id: str
    trajectory_id: str
    task_id: str | None
    user: str | None
    split: str
    source: str
    kind_tags: list[str]
    messages: list[Chat]
    tools: list[Tool]
    calls: list[dict[str, Json]]
    verdict: dict[str, Json]
    weight: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain data, one key per column."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


class RowSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings for building rows."""

    mask_errors: bool = True
    max_chars: int | None = MAX_CHARS


def build_rows(
    trajectory: Trajectory, verdict: Verdict, *, split: str, settings: RowSettings | None = None
) -> tuple[list[Row], str | None]:
    """Return the rows of a trajectory, or none and the reason to count.

    Raises:
        Unrenderable: If the chat form cannot hold a message.
    """
    settings = settings or RowSettings()
    contexts = join_contexts(trajectory, mask_errors=settings.mask_errors)
    if not contexts:
        return [], "nothing to learn: no reply carries loss"
    rows = []
    for place, context in enumerate(contexts):
        _end_at_last_loss(context)
        problem = find_row_problem(context.messages, context.tools, settings.max_chars)
        if problem:
            return [], problem
        rows.append(_build_row(trajectory, verdict, context, (split, place)))
    return rows, None


def _end_at_last_loss(context: RowContext) -> None:
    """Remove the messages after the last reply with loss."""
    last = max(place for place, message in enumerate(context.messages) if message["loss"])
    del context.messages[last + 1 :]
    context.calls = [call for call in context.calls if int(str(call["message"])) <= last]


def _build_row(
    trajectory: Trajectory, verdict: Verdict, context: RowContext, place: tuple[str, int]
) -> Row:
    split, number = place
    tools = [chat_tool(tool) for tool in context.tools]
    return Row(
        row_id=hash_json([trajectory.id, number]),
        trajectory_id=trajectory.id,
        task_id=trajectory.task_id,
        user=trajectory.user,
        split=split,
        source=trajectory.source,
        kind_tags=sorted(set(trajectory.tags)),
        messages=context.messages,
        tools=tools,
        calls=context.calls,
        verdict={
            "label": verdict.label,
            "verifier": verdict.verifier,
            "version": verdict.version,
            "score": verdict.score,
        },
    )


def chat_tool(tool: Tool) -> Tool:
    """Return a tool schema in the nested form of the chat API, its keys in the order in which the client sent them.

    Chat templates print a schema as it comes, so another order would be another prompt. Journals of
    earlier versions sort keys; a schema whose every object is sorted is brought into the order in
    which clients write them.
    """
    given = tool.get("function")
    if not isinstance(given, dict):
        parameters = tool.get("parameters", tool.get("input_schema"))
        known = {"name": tool_name(tool), **_without_none(tool, ("description",))}
        known |= {"parameters": parameters} if parameters is not None else {}
        tool = {"type": "function", "function": known | _without_none(tool, ("strict",))}
    elif "type" not in tool:
        tool = {"type": "function", **tool}
    return _tool_in_client_order(tool) if _is_sorted(tool) else tool


def restore_client_order(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with sorted keys as clients write it: messages, calls and schemas in their order."""
    messages = [_message_in_client_order(message) for message in row["messages"]]
    return {**row, "messages": messages, "tools": list(map(_tool_in_client_order, row["tools"]))}


def _message_in_client_order(message: Chat) -> Chat:
    ordered = _order_keys(message, ("role", "content", "reasoning_content", "tool_calls"))
    if message.get("tool_calls"):
        ordered["tool_calls"] = [
            {
                **_order_keys(call, ("id", "type", "function")),
                "function": _order_keys(call["function"], ("name", "arguments")),
            }
            for call in message["tool_calls"]
        ]
    return ordered


def _tool_in_client_order(tool: Tool) -> Tool:
    function = _order_keys(tool["function"], ("name", "description", "parameters", "strict"))
    if isinstance(function.get("parameters"), dict):
        function["parameters"] = _as_declared(function["parameters"])
    return {**_order_keys(tool, ("type", "function")), "function": function}


def _order_keys(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {**{name: value[name] for name in names if name in value}, **value}


def _without_none(value: Tool, names: tuple[str, ...]) -> dict[str, Json]:
    return {name: value[name] for name in names if value.get(name) is not None}


def _is_sorted(value: Json) -> bool:
    """Report if the keys of all objects in a value are sorted, as in journals of earlier versions."""
    if isinstance(value, dict):
        return list(value) == sorted(value) and all(map(_is_sorted, value.values()))
    return all(map(_is_sorted, value)) if isinstance(value, list) else True


def _as_declared(schema: dict[str, Json]) -> dict[str, Json]:
    """Return a schema whose required properties come first, in their own order, as a function declares them."""
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return schema
    first = {name: properties[name] for name in required if name in properties}
    return {**schema, "properties": {**first, **properties}}
