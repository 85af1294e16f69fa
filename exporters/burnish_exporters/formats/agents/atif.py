"""Write the Agent Trajectory Interchange Format of Harbor, version 1.7: a run as numbered steps.

Supported is the schema of single-agent runs, with its rules. A reply that the run found in its
history is marked `is_copied_context`, which consumers must not train on. A reply of the run without
loss is marked in `extra`. Token ids and log-probabilities go into a step's metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec

from burnish.errors import ExportError
from burnish.records import Json
from burnish_exporters.formats.plain import Chat, Unfit, arguments_of, each_fit

VERSION = "ATIF-v1.7"
_IMAGES = {kind: f"image/{kind}" for kind in ("jpeg", "png", "gif", "webp")}


class _Strict(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    extra: dict[str, Any] | None = None


class _Agent(_Strict):
    name: str
    version: str
    model_name: str | None = None
    tool_definitions: list[dict[str, Any]] | None = None


class _Part(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    type: Literal["text", "image"]
    text: str | None = None
    source: dict[str, str] | None = None


class _ToolCall(_Strict):
    tool_call_id: str
    function_name: str
    arguments: dict[str, Any]


class _Result(_Strict):
    source_call_id: str | None = None
    content: str | list[_Part] | None = None


class _Observation(_Strict):
    results: list[_Result]


class _Metrics(_Strict):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_token_ids: list[int] | None = None
    completion_token_ids: list[int] | None = None
    logprobs: list[float] | None = None


class _Step(_Strict):
    step_id: Annotated[int, msgspec.Meta(ge=1)]
    source: Literal["system", "user", "agent"]
    message: str | list[_Part]
    model_name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_ToolCall] | None = None
    observation: _Observation | None = None
    metrics: _Metrics | None = None
    is_copied_context: bool | None = None
    llm_call_count: int | None = None


class _AtifTrajectory(_Strict):
    schema_version: Literal["ATIF-v1.7"]
    session_id: str
    trajectory_id: str
    agent: _Agent
    steps: Annotated[list[_Step], msgspec.Meta(min_length=1)]


_AGENT_ONLY = ("model_name", "reasoning_content", "tool_calls", "metrics")


@dataclass(frozen=True, kw_only=True)
class Atif:
    """One document per row."""

    name: str = "atif"
    columns: list[str] = field(
        default_factory=lambda: [
            "schema_version", "session_id", "trajectory_id", "agent", "steps", "extra",
        ]
    )  # fmt: skip
    kinds: dict[str, str] = field(
        default_factory=lambda: {
            "schema_version": "text",
            "session_id": "text",
            "trajectory_id": "text",
            "steps": "list of json",
        }
    )
    refused: Counter[str] = field(default_factory=Counter)

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Yield rows as trajectories; the session is the run, the trajectory the row."""
        return each_fit(rows, _render_trajectory, self.refused)

    def check(self, row: dict[str, Json]) -> None:
        """Check the schema, the numbers of steps and the references of results.

        Raises:
            ExportError: If a field is unknown, missing or of another type, or a rule is broken.
        """
        try:
            found = msgspec.convert(row, _AtifTrajectory)
        except msgspec.ValidationError as problem:
            raise ExportError(
                f"the row is not an ATIF trajectory: {problem}", f"fields of {VERSION}"
            ) from problem
        for number, step in enumerate(found.steps, 1):
            _check_step(step, number)


def _render_trajectory(row: dict[str, Json]) -> dict[str, Json]:
    return {
        "schema_version": VERSION,
        "session_id": row["trajectory_id"],
        "trajectory_id": row["row_id"],
        "agent": _render_agent(row),
        "steps": _render_steps(row),
        "extra": {key: row[key] for key in ("task_id", "source", "split", "verdict")},
    }


def _check_step(step: _Step, number: int) -> None:
    if step.step_id != number:
        raise ExportError(f"step {step.step_id} in place {number}", "steps numbered from 1")
    if step.source != "agent" and any(getattr(step, name) is not None for name in _AGENT_ONLY):
        raise ExportError(f"step {number} of the {step.source} with fields of an agent's")
    called = {call.tool_call_id for call in step.tool_calls or ()}
    for result in step.observation.results if step.observation else ():
        if result.source_call_id is not None and result.source_call_id not in called:
            raise ExportError(
                f"step {number}: a result of {result.source_call_id!r}", "a call of that step"
            )


def _render_agent(row: dict[str, Json]) -> dict[str, Json]:
    policy = next((c for c in reversed(row["calls"]) if c.get("model") or c.get("adapter")), {})
    agent = {
        "name": next((c["speaker"] for c in row["calls"] if c.get("speaker")), "agent"),
        "version": policy.get("adapter") or policy.get("model") or "unknown",
        "model_name": policy.get("model"),
        "tool_definitions": row["tools"],
    }
    return {key: value for key, value in agent.items() if value}


def _render_steps(row: dict[str, Json]) -> list[dict[str, Json]]:
    """Render messages as steps; results belong to the step that asked for them."""
    calls = {call["message"]: call for call in row["calls"]}
    steps: list[dict[str, Json]] = []
    for place, message in enumerate(row["messages"]):
        role = message["role"]
        if role == "tool":
            result = {
                "source_call_id": message["tool_call_id"],
                "content": _render_content(message),
            }
            steps[-1].setdefault("observation", {"results": []})["results"].append(result)
            continue
        step: dict[str, Json] = {"step_id": len(steps) + 1, "source": "agent"}
        if role != "assistant":
            step["source"] = "user" if role == "user" else "system"
        step["message"] = _render_content(message)
        if role == "assistant":
            step |= _render_reply(message, calls.get(place))
        steps.append(step)
    return steps


def _render_reply(message: Chat, call: dict[str, Json] | None) -> dict[str, Json]:
    """Return the fields that only an agent's step has."""
    facts: dict[str, Json] = {}
    if message.get("reasoning_content"):
        facts["reasoning_content"] = message["reasoning_content"]
    if message.get("tool_calls"):
        facts["tool_calls"] = [_tool_call(asked) for asked in message["tool_calls"]]
    if call is None:
        return {**facts, "is_copied_context": True}
    if call.get("model"):
        facts["model_name"] = call["model"]
    if call.get("token_ids"):
        facts["metrics"] = _render_metrics(call)
    if not message["loss"]:
        facts["extra"] = {"loss": False}
    return {**facts, "llm_call_count": 1}


def _render_metrics(call: dict[str, Json]) -> dict[str, Json]:
    metrics = {
        "prompt_tokens": len(call["prompt_token_ids"]),
        "completion_tokens": len(call["token_ids"]),
        "prompt_token_ids": call["prompt_token_ids"],
        "completion_token_ids": call["token_ids"],
    }
    return {**metrics, "logprobs": call["logprobs"]} if call.get("logprobs") else metrics


def _tool_call(call: Chat) -> dict[str, Json]:
    """Render a call; arguments that are not a JSON object go to `extra`, as the model wrote them."""
    arguments = arguments_of(call)
    whole = isinstance(arguments, dict)
    asked = {"tool_call_id": call["id"], "function_name": call["function"]["name"]}
    if not whole:
        asked["extra"] = {"raw_arguments": call["function"]["arguments"]}
    return {**asked, "arguments": arguments if whole else {}}


def _render_content(message: Chat) -> str | list[dict[str, Json]]:
    content = message["content"]
    return content if isinstance(content, str) else [_render_part(block) for block in content]


def _render_part(block: dict[str, Json]) -> dict[str, Json]:
    if block["type"] == "text":
        return {"type": "text", "text": block["text"]}
    if block["type"] != "image_url":
        raise Unfit(f"ATIF has no place for {block['type']}")
    url = block["image_url"]["url"]
    kind = url[11:].partition(";")[0] if url.startswith("data:image/") else url.rpartition(".")[2]
    media = _IMAGES.get(kind.lower().replace("jpg", "jpeg"))
    if media is None:
        raise Unfit("ATIF has no place for an image of unknown type")
    return {"type": "image", "source": {"media_type": media, "path": url}}
