"""Human demonstrations and teacher runs as a source: conversations in OpenAI's or ShareGPT's form, one per line.

Knows: how such a line becomes a trajectory with its source tag. Does not know: whether it is any good: it passes the
same verification as every other run.

Beside `messages` (or `conversations`) and `tools`, a line may have `task_id`, `user`, `final_state`, `success` and
`tags`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import fsspec

from burnish.records import Message, ModelCall, Outcome, Policy, Tool, ToolRun, Trajectory

_SHAREGPT = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
             "system": "system", "observation": "tool", "tool": "tool",
             "function_call": "assistant"}  # fmt: skip


class Demonstrations:
    """Trajectories of a file of conversations; a line that is none is skipped and counted in `reasons`.

    Args:
        url: File on any fsspec URL.
        agent: Agent that the demonstrations are for.
        source: Tag that tells where they come from.
        model: Who wrote the assistant's words.
        form: How lines are written; None takes either.
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

    @property
    def skipped(self) -> int:
        """Lines that are no conversation, so far."""
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
                    found = self._trajectory(_read(line), number)
                except (ValueError, LookupError, TypeError, AttributeError) as problem:
                    self.reasons[_reason(problem)] += 1
                    continue
                yield found

    def _trajectory(self, line: dict[str, Any], number: int) -> Trajectory:
        form = "openai" if "messages" in line else "sharegpt"
        if self.form not in (None, form) or (form == "sharegpt" and "conversations" not in line):
            wanted = {"openai": "messages", "sharegpt": "conversations"}.get(self.form or "")
            raise _NoRun(f"no {wanted or 'messages and no conversations'}")
        messages = [_message(m) for m in line["messages"]] if "messages" in line else _turns(line)
        tools = line.get("tools") or []
        tools = [_tool(tool) for tool in (json.loads(tools) if isinstance(tools, str) else tools)]
        digest = hashlib.blake2b(
            json.dumps(line, sort_keys=True).encode("utf-8", "replace"), digest_size=16
        )
        calls = self._calls(messages, tools)
        if not calls:
            raise _NoRun("no reply of an assistant")
        success = line.get("success")
        outcomes = [Outcome(source="import", success=success)] if success is not None else []
        return Trajectory(
            id=digest.hexdigest(),
            agent=self.agent,
            status="completed",
            user=line.get("user"),
            task_id=line.get("task_id") or _task_id(calls),
            source=self.source,
            started_ns=number,
            answer=_text(calls[-1].reply or {}) or None,
            final_state=line.get("final_state"),
            model_calls=calls,
            tool_runs=list(_tool_runs(messages)),
            outcomes=outcomes,
            tags=list(line.get("tags") or []),
        )

    def _calls(self, messages: list[Message], tools: list[Tool]) -> list[ModelCall]:
        return [
            ModelCall(
                span_id=f"{place:016x}",
                parent_id=None,
                messages=messages[:place],
                tools=tools,
                reply=message,
                policy=Policy(model=self.model),
                started_ns=place,
            )
            for place, message in enumerate(messages)
            if message["role"] == "assistant"
        ]


class _NoRun(ValueError):
    """A line that tells of no run; the text is the reason that is counted."""


def _read(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as problem:
        raise _NoRun("no JSON") from problem
    if not isinstance(found, dict):
        raise _NoRun("no JSON object")
    return found


def _reason(problem: Exception) -> str:
    """Why a line tells of no run, as few different texts as help."""
    if isinstance(problem, _NoRun):
        return str(problem)
    if isinstance(problem, KeyError):
        return f"no {problem.args[0]}, or an unknown one"
    if isinstance(problem, IndexError):
        return "a result without its call"
    return "arguments or tools that are no JSON" if isinstance(problem, ValueError) else "a value of the wrong type"  # fmt: skip


def _message(chat: dict[str, Any]) -> Message:
    """An OpenAI message in the records' form."""
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
        parts.append(_call(call["id"], call["function"]))
    return {"role": role, "parts": parts}


def _call(call_id: str, function: dict[str, Any]) -> dict[str, Any]:
    arguments = function.get("arguments")
    raw = arguments if isinstance(arguments, str) else None
    parsed = json.loads(arguments) if isinstance(arguments, str) else arguments
    part = {"type": "tool_call", "id": call_id, "name": function["name"], "arguments": parsed or {}}
    return {**part, "raw_arguments": raw} if raw else part


def _turns(line: dict[str, Any]) -> list[Message]:
    """ShareGPT's turns; calls and observations are matched in order."""
    system = line.get("system")
    messages: list[Message] = []
    if system:
        messages.append({"role": "system", "parts": [{"type": "text", "content": system}]})
    waiting: list[str] = []
    for place, turn in enumerate(line["conversations"]):
        role, value = _SHAREGPT[turn["from"]], turn["value"]
        if turn["from"] == "function_call":
            waiting.append(f"call_{place}")
            part = _call(waiting[-1], json.loads(value))
        elif role == "tool":
            part = {"type": "tool_call_response", "id": waiting.pop(0), "response": value}
        else:
            part = {"type": "text", "content": value}
        messages.append({"role": role, "parts": [part]})
    return messages


def _tool(tool: dict[str, Any]) -> Tool:
    function = tool.get("function")
    return {"type": "function", **(function if isinstance(function, dict) else tool)}


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


def _text(message: Message) -> str:
    return "".join(p["content"] for p in message.get("parts") or () if p["type"] == "text")


def _task_id(calls: list[ModelCall]) -> str | None:
    from burnish.trajectories.identity import task_id

    return task_id(calls)
