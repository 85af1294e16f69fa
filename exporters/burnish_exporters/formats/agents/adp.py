"""Write the Agent Data Protocol (arXiv 2510.24702): a run as a sequence of actions and observations.

Supported are tool calls and the rules of ids of the protocol's version 1.5.0. `details` holds what
the protocol has no place for: system prompt, tool schemas, verdict, and the places in `content`
that carry loss. A call whose arguments are not a JSON object cannot be written: the row is left out
and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from burnish.errors import ExportError
from burnish.records import Json
from burnish_exporters.formats.plain import Chat, Unfit, arguments_of, each_fit, only_text_of

VERSION = "1.5.0"


class _ApiAction(
    msgspec.Struct, tag_field="class_", tag="api_action", forbid_unknown_fields=True, kw_only=True
):
    function: str
    kwargs: dict[str, Any]
    description: str | None = None
    reasoning_content: str | None = None
    tool_call_id: str | None = None


class _MessageAction(
    msgspec.Struct, tag_field="class_", tag="message_action", forbid_unknown_fields=True
):
    content: str
    description: str | None = None
    reasoning_content: str | None = None


class _TextObservation(
    msgspec.Struct, tag_field="class_", tag="text_observation", forbid_unknown_fields=True
):
    content: str
    source: Literal["user", "agent", "environment"]
    tool_call_id: str | None = None


class _AdpTrajectory(msgspec.Struct, forbid_unknown_fields=True):
    schema_version: Literal["1.5.0"]
    id: str
    content: list[_ApiAction | _MessageAction | _TextObservation]
    details: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Adp:
    """One trajectory per row."""

    name: str = "adp"
    columns: list[str] = field(
        default_factory=lambda: ["schema_version", "id", "content", "details"]
    )
    kinds: dict[str, str] = field(
        default_factory=lambda: {"schema_version": "text", "id": "text", "content": "list of json"}
    )
    refused: Counter[str] = field(default_factory=Counter)

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Yield rows as trajectories."""
        return each_fit(rows, _render_trajectory, self.refused)

    def check(self, row: dict[str, Json]) -> None:
        """Check the protocol's schema, and that each observed call has one observation.

        Raises:
            ExportError: If a field is unknown, missing or of another type, or ids do not match.
        """
        try:
            found = msgspec.convert(row, _AdpTrajectory)
        except msgspec.ValidationError as problem:
            raise ExportError(
                f"the row is not an ADP trajectory: {problem}", f"fields of version {VERSION}"
            ) from problem
        _check_links(found.content)


def _render_trajectory(row: dict[str, Json]) -> dict[str, Json]:
    content, learned = _render_content(row["messages"])
    return {
        "schema_version": VERSION,
        "id": row["row_id"],
        "content": content,
        "details": _render_details(row, learned),
    }


def _check_links(content: list[Any]) -> None:
    """Check that each id names one call and, later, one observation."""
    called: set[str] = set()
    observed: set[str] = set()
    for item in content:
        call_id = getattr(item, "tool_call_id", None)
        if call_id is None:
            continue
        known, before = (called, None) if isinstance(item, _ApiAction) else (observed, called)
        if call_id in known or (before is not None and call_id not in before):
            raise ExportError(
                f"call id {call_id!r} occurs twice, or before its call", "one call, one result"
            )
        known.add(call_id)
    if called != observed:
        raise ExportError(f"calls without result: {sorted(called - observed)}", "no id on them")


def _render_content(messages: list[Chat]) -> tuple[list[dict[str, Json]], list[int]]:
    """Return actions and observations, and the places of those that carry loss."""
    ids = _name_calls([m["tool_call_id"] for m in messages if m["role"] == "tool"])
    content: list[dict[str, Json]] = []
    learned: list[int] = []
    for message in messages:
        if message["role"] in ("system", "developer"):
            continue
        start = len(content)
        if message["role"] == "assistant":
            content += _render_actions(message, ids)
        else:
            content.append(_render_observation(message, ids))
        if message["loss"]:
            learned += range(start, len(content))
    return content, learned


def _name_calls(call_ids: list[str]) -> dict[str, list[str]]:
    """Return ids of calls with results, once for the call and once for the result; a repeated id gets a number."""
    found: dict[str, list[str]] = {}
    for call_id in call_ids:
        uses = found.setdefault(call_id, [])
        uses.append(call_id if not uses else f"{call_id}-{len(uses) + 1}")
    return {call_id: [use for use in uses for _ in range(2)] for call_id, uses in found.items()}


def _render_actions(message: Chat, ids: dict[str, list[str]]) -> Iterator[dict[str, Json]]:
    """Yield one action per call, the first one with the reasoning; without calls, one message."""
    text = only_text_of(message, "ADP")
    calls = message.get("tool_calls") or ()
    thought: dict[str, Json] = {}
    if message.get("reasoning_content"):
        thought["reasoning_content"] = message["reasoning_content"]
    if not calls:
        yield {"class_": "message_action", "content": text, **thought}
    for call in calls:
        kwargs = arguments_of(call)
        if not isinstance(kwargs, dict):
            raise Unfit("ADP has no place for arguments that are no JSON object")
        action = {"class_": "api_action", "function": call["function"]["name"], "kwargs": kwargs}
        if text:
            action["description"] = text
        yield {**action, **thought, **_link_call(call["id"], ids)}
        text, thought = "", {}


def _render_observation(message: Chat, ids: dict[str, list[str]]) -> dict[str, Json]:
    source = "user" if message["role"] == "user" else "environment"
    told = {"class_": "text_observation", "content": only_text_of(message, "ADP"), "source": source}
    return told if source == "user" else {**told, **_link_call(message["tool_call_id"], ids)}


def _link_call(call_id: str, ids: dict[str, list[str]]) -> dict[str, Json]:
    uses = ids.get(call_id)
    return {"tool_call_id": uses.pop(0)} if uses else {}


def _render_details(row: dict[str, Json], learned: list[int]) -> dict[str, Json]:
    system = [only_text_of(m, "ADP") for m in row["messages"] if m["role"] in ("system", "developer")]  # fmt: skip
    return {
        "system": "\n\n".join(system),
        "tools": row["tools"],
        "trajectory_id": row["trajectory_id"],
        "task_id": row["task_id"],
        "source": row["source"],
        "verdict": row["verdict"],
        "learned": learned,
    }
