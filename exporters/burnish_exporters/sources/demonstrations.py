"""Read human demonstrations and teacher runs: conversations in OpenAI's or ShareGPT's form, one a line.

Each line becomes a trajectory with its source tag, and passes the same verification as every other run. Beside
`messages` (or `conversations`) and `tools`, a line may have `task_id`, `user`, `final_state`, `success` and `tags`. A
reply with `weight` 0 (OpenAI), or with `loss` or `train` false, is context without loss.

A line is decoded to declared types first, so a value of another type drops that line alone.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import fsspec
import msgspec

from burnish.capture.recorder.values import (
    WrongValue,
    optional,
    read_flag,
    read_text,
    read_texts,
)
from burnish.records import Message, ModelCall, Outcome, Policy, Tool, ToolRun, Trajectory

_SHAREGPT = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
             "system": "system", "observation": "tool", "tool": "tool",
             "function_call": "assistant"}  # fmt: skip
_DEEPEST = 100
_MOST_EXAMPLES = 20
_NO_WEIGHT = ("weight", "loss", "train")


class DroppedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a file that could not be read as a run.

    Attributes:
        line: Its number, from 1.
        reason: The reason that is counted.
        detail: The text that was found.
    """

    line: int
    reason: str
    detail: str = ""


class _DemonstrationLine(msgspec.Struct, kw_only=True):
    """The types of a line; further keys are ignored."""

    messages: list[_ChatMessage] | None = None
    conversations: list[_ShareGptTurn] | None = None
    system: str | None = None
    tools: str | list[dict[str, Any]] | None = None


class _ChatMessage(msgspec.Struct, kw_only=True):
    role: str
    content: str | list[_ChatBlock] | None = None
    reasoning_content: str | None = None
    tool_calls: list[_ChatCall] | None = None
    tool_call_id: str | None = None


class _ChatBlock(msgspec.Struct, kw_only=True):
    text: str


class _ChatFunction(msgspec.Struct, kw_only=True):
    name: str
    arguments: str | dict[str, Any] | None = None


class _ChatCall(msgspec.Struct, kw_only=True):
    id: str
    function: _ChatFunction


class _ShareGptTurn(msgspec.Struct, kw_only=True):
    speaker: str = msgspec.field(name="from")
    value: str


class Demonstrations:
    """Yields trajectories of a file of conversations; other lines are skipped and counted in `reasons`.

    Args:
        url: File on any fsspec URL.
        agent: Agent that the demonstrations are for.
        source: Source tag of the trajectories.
        model: Model that wrote the assistant's replies.
        form: Form of the lines; None accepts either.
    """

    def __init__(
        self,
        url: str,
        *,
        agent: str,
        source: Literal["demonstration", "teacher", "general"] = "demonstration",
        model: str | None = None,
        form: Literal["openai", "sharegpt"] | None = None,
    ) -> None:
        self.url, self.agent, self.source, self.model = str(url), agent, source, model
        self.form = form
        self.reasons: Counter[str] = Counter()
        self.examples: list[DroppedLine] = []  # the first dropped lines

    @property
    def skipped(self) -> int:
        """Return how many lines without a conversation were found so far."""
        return self.reasons.total()

    def trajectories(self, agent: str | None = None) -> Iterator[Trajectory]:
        """Yield one trajectory per line."""
        if agent is not None and agent != self.agent:
            return
        with fsspec.open(self.url, "rt", encoding="utf-8", errors="surrogateescape") as file:
            for number, line in enumerate(file):  # pyright: ignore[reportArgumentType]
                if not line.strip():
                    continue
                try:
                    found = self._build_trajectory(_read_json(line), number)
                except (
                    ValueError,
                    LookupError,
                    TypeError,
                    AttributeError,
                    RecursionError,
                ) as problem:
                    self.drop_line(number, _drop_reason(problem), str(problem))
                    continue
                yield found

    def drop_line(self, number: int, reason: str, detail: str = "") -> None:
        """Count a line that is not a run; `number` is from 0."""
        self.reasons[reason] += 1
        if len(self.examples) < _MOST_EXAMPLES:
            short = "" if detail == reason else detail[:200]
            self.examples.append(DroppedLine(line=number + 1, reason=reason, detail=short))

    def _build_trajectory(self, line: dict[str, Any], number: int) -> Trajectory:
        form = "openai" if "messages" in line else "sharegpt"
        if self.form not in (None, form) or (form == "sharegpt" and "conversations" not in line):
            wanted = {"openai": "messages", "sharegpt": "conversations"}.get(self.form or "")
            raise _NoRun(f"no {wanted or 'messages and no conversations'}")
        if _is_deeper(line, _DEEPEST):
            raise _NoRun("nested too deeply")
        msgspec.convert(line, _DemonstrationLine)
        turns: list[dict[str, Any]] = line["messages" if form == "openai" else "conversations"]
        messages = (
            [_convert_message(m) for m in turns] if form == "openai" else _convert_turns(line)
        )
        unlearned = {place for place, turn in enumerate(turns) if _teaches_nothing(turn)}
        if form == "sharegpt" and line.get("system"):
            unlearned = {place + 1 for place in unlearned}
        tools = line.get("tools") or []
        tools = [
            _convert_tool(tool) for tool in (json.loads(tools) if isinstance(tools, str) else tools)
        ]
        digest = hashlib.blake2b(
            json.dumps(line, sort_keys=True).encode("utf-8", "replace"), digest_size=16
        )
        calls = self._build_calls(messages, tools, unlearned)
        if not calls:
            raise _NoRun("no reply of an assistant")
        success = optional(read_flag, line.get("success"))
        outcomes = [Outcome(source="import", success=success)] if success is not None else []
        return Trajectory(
            id=digest.hexdigest(),
            agent=self.agent,
            status="completed",
            user=optional(read_text, line.get("user")),
            task_id=optional(read_text, line.get("task_id")) or _task_id(calls),
            source=self.source,
            started_ns=number,
            answer=_message_text(calls[-1].reply or {}) or None,
            final_state=line.get("final_state"),
            model_calls=calls,
            tool_runs=list(_tool_runs(messages)),
            outcomes=outcomes,
            tags=optional(read_texts, line.get("tags")) or [],
        )

    def _build_calls(
        self, messages: list[Message], tools: list[Tool], unlearned: set[int]
    ) -> list[ModelCall]:
        return [
            ModelCall(
                span_id=f"{place:016x}",
                parent_id=None,
                messages=messages[:place],
                tools=tools,
                reply=message,
                policy=Policy(model=self.model),
                started_ns=place,
                extras={"weight": 0} if place in unlearned else {},
            )
            for place, message in enumerate(messages)
            if message["role"] == "assistant"
        ]


class _NoRun(ValueError):
    """A line that holds no run; its text is the reason that is counted."""


def _read_json(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except RecursionError:
        raise
    except ValueError as problem:
        raise _NoRun("no JSON") from problem
    if not isinstance(found, dict):
        raise _NoRun("no JSON object")
    return found


def _is_deeper(value: Any, most: int) -> bool:
    """Report if lists and objects are nested more than this many times."""
    level = [value]
    for _ in range(most):
        level = [
            item
            for holder in level
            if isinstance(holder, (dict, list))
            for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
        if not level:
            return False
    return True


def _teaches_nothing(turn: dict[str, Any]) -> bool:
    """Report if a reply is marked as context without loss."""
    return any(turn.get(name) == 0 for name in _NO_WEIGHT if name in turn)


def _drop_reason(problem: Exception) -> str:
    """Return why a line holds no run, in few different texts."""
    if isinstance(problem, _NoRun):
        return str(problem)
    if isinstance(problem, KeyError):
        return f"no {problem.args[0]}, or an unknown one"
    if isinstance(problem, RecursionError):
        return "nested too deeply"
    if isinstance(problem, (WrongValue, msgspec.ValidationError)):
        return "a value of the wrong type"
    if isinstance(problem, IndexError):
        return "a result without its call"
    return "arguments or tools that are no JSON" if isinstance(problem, ValueError) else "a value of the wrong type"  # fmt: skip


def _convert_message(chat: dict[str, Any]) -> Message:
    """Convert an OpenAI message to the form of the records."""
    role, content = chat["role"], chat.get("content")
    if role == "tool":
        part = {"type": "tool_call_response", "id": chat["tool_call_id"], "response": content or ""}
        return {"role": role, "parts": [part]}
    parts: list[dict[str, Any]] = []
    if chat.get("reasoning_content"):
        parts.append({"type": "reasoning", "content": chat["reasoning_content"]})
    if isinstance(content, list):
        parts += [{"type": "text", "content": block["text"]} for block in content]
    elif content:
        parts.append({"type": "text", "content": content})
    for call in chat.get("tool_calls") or ():
        parts.append(_convert_call(call["id"], call["function"]))
    return {"role": role, "parts": parts}


def _convert_call(call_id: str, function: dict[str, Any]) -> dict[str, Any]:
    arguments = function.get("arguments")
    raw = arguments if isinstance(arguments, str) else None
    parsed = json.loads(arguments) if isinstance(arguments, str) else arguments
    part = {"type": "tool_call", "id": call_id, "name": function["name"], "arguments": parsed or {}}
    return {**part, "raw_arguments": raw} if raw else part


def _convert_turns(line: dict[str, Any]) -> list[Message]:
    """Convert ShareGPT's turns; calls and observations are matched in order."""
    system = line.get("system")
    messages: list[Message] = []
    if system:
        messages.append({"role": "system", "parts": [{"type": "text", "content": system}]})
    waiting: list[str] = []
    for place, turn in enumerate(line["conversations"]):
        role, value = _SHAREGPT[turn["from"]], turn["value"]
        if turn["from"] == "function_call":
            waiting.append(f"call_{place}")
            part = _convert_call(waiting[-1], json.loads(value))
        elif role == "tool":
            part = {"type": "tool_call_response", "id": waiting.pop(0), "response": value}
        else:
            part = {"type": "text", "content": value}
        messages.append({"role": role, "parts": [part]})
    return messages


def _convert_tool(tool: dict[str, Any]) -> Tool:
    function = tool.get("function")
    found = function if isinstance(function, dict) else tool
    if not isinstance(found.get("name"), str):
        raise _NoRun("a tool without a name")
    return {"type": "function", **found}


def _tool_runs(messages: list[Message]) -> Iterator[ToolRun]:
    results = {
        part["id"]: part["response"]
        for message in messages
        for part in message["parts"]
        if part["type"] == "tool_call_response"
    }
    for place, message in enumerate(messages):
        for part in message["parts"]:
            if part["type"] == "tool_call":
                yield ToolRun(
                    span_id=f"{place:016x}",
                    parent_id=None,
                    name=part["name"],
                    call_id=part["id"],
                    arguments=part["arguments"],
                    result=results.get(part["id"]),
                    started_ns=place,
                )


def _message_text(message: Message) -> str:
    return "".join(p["content"] for p in message.get("parts") or () if p["type"] == "text")


def _task_id(calls: list[ModelCall]) -> str | None:
    from burnish.trajectories.identity import derive_task_id

    return derive_task_id(calls)
