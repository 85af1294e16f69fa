"""One row of a dataset: a conversation, what is learned of it, and where it comes from.

Knows: the columns of a row and how they are filled from a trajectory.
Does not know: how rows are chosen and stored.
"""

from __future__ import annotations

from typing import Any

import msgspec

from burnish.records import Json, Tool, Trajectory, Verdict
from burnish_exporters.rows.canonical_json import digest
from burnish_exporters.rows.chat import Chat
from burnish_exporters.rows.contexts import Context, contexts_of
from burnish_exporters.rows.validity import MAX_CHARS, problem_of, tool_name


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
        """The row as plain data, one key per column."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


class RowSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What may be set about the making of rows."""

    mask_errors: bool = True
    max_chars: int | None = MAX_CHARS


def build_rows(
    trajectory: Trajectory, verdict: Verdict, *, split: str, settings: RowSettings | None = None
) -> tuple[list[Row], str | None]:
    """The rows of a trajectory, or none and the reason to count.

    Raises:
        Unrenderable: If a message has no place in the chat form.
    """
    settings = settings or RowSettings()
    contexts = contexts_of(trajectory, mask_errors=settings.mask_errors)
    if not contexts:
        return [], "nothing to learn: no reply carries loss"
    rows = []
    for place, context in enumerate(contexts):
        _end_at_last_loss(context)
        problem = problem_of(context.messages, context.tools, settings.max_chars)
        if problem:
            return [], problem
        rows.append(_row(trajectory, verdict, context, (split, place)))
    return rows, None


def _end_at_last_loss(context: Context) -> None:
    """Leave out what stands behind the last reply that is learned."""
    last = max(place for place, message in enumerate(context.messages) if message["loss"])
    del context.messages[last + 1 :]
    context.calls = [call for call in context.calls if int(str(call["message"])) <= last]


def _row(trajectory: Trajectory, verdict: Verdict, context: Context, place: tuple[str, int]) -> Row:
    split, number = place
    tools = [chat_tool(tool) for tool in context.tools]
    return Row(
        row_id=digest([trajectory.id, number]),
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
    """A tool schema in the nested form of the chat API, its keys in the order in which the client sent them.

    Chat templates print a schema as it comes, so another order would be another prompt. Journals of earlier versions
    sort keys; a schema whose every object is sorted is brought into the order in which clients write them.
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


def in_client_order(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose keys were sorted, with messages, calls and schemas in the order in which clients write them."""
    messages = [_message_in_client_order(message) for message in row["messages"]]
    return {**row, "messages": messages, "tools": list(map(_tool_in_client_order, row["tools"]))}


def _message_in_client_order(message: Chat) -> Chat:
    ordered = _first(message, ("role", "content", "reasoning_content", "tool_calls"))
    if message.get("tool_calls"):
        ordered["tool_calls"] = [
            {
                **_first(call, ("id", "type", "function")),
                "function": _first(call["function"], ("name", "arguments")),
            }
            for call in message["tool_calls"]
        ]
    return ordered


def _tool_in_client_order(tool: Tool) -> Tool:
    function = _first(tool["function"], ("name", "description", "parameters", "strict"))
    if isinstance(function.get("parameters"), dict):
        function["parameters"] = _as_declared(function["parameters"])
    return {**_first(tool, ("type", "function")), "function": function}


def _first(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {**{name: value[name] for name in names if name in value}, **value}


def _without_none(value: Tool, names: tuple[str, ...]) -> dict[str, Json]:
    return {name: value[name] for name in names if value.get(name) is not None}


def _is_sorted(value: Json) -> bool:
    """Whether the keys of all objects in a value are sorted, as journals of earlier versions have them."""
    if isinstance(value, dict):
        return list(value) == sorted(value) and all(map(_is_sorted, value.values()))
    return all(map(_is_sorted, value)) if isinstance(value, list) else True


def _as_declared(schema: dict[str, Json]) -> dict[str, Json]:
    """A schema whose required properties come first, in their own order: so a function declares them."""
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return schema
    first = {name: properties[name] for name in required if name in properties}
    return {**schema, "properties": {**first, **properties}}
