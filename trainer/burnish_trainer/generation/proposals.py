"""Ask a generator model for tasks with a gold call, and keep those that the tools' schemas allow.

A proposal is one JSON object: the user's request and the call that answers it. It is kept if the tool exists, the
arguments fit its schema, the request contains every argument that is a text or a number (else the solver would have to
guess), and no earlier proposal has the same request or the same call.

Source: Acikgoz et al. 2026, Tool-R0 (https://arxiv.org/abs/2602.21320): roles, structural checks, grounding of the gold
call. Ours differs: the generator is any chat model and is not trained here; its reward is `generator_reward`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from burnish.records import Json, Record, Task
from burnish_exporters.rows.canonical_json import stable_json

_PATIENCE = 8  # replies in a row that add no task


class GeneratedTask(Record, frozen=True, kw_only=True):
    """A task with the one call that answers it."""

    id: str
    request: str
    tool: str
    arguments: dict[str, Json]

    def as_task(self) -> Task:
        """Return the task as an agent's task of the kind `generated`."""
        gold = {"tool": self.tool, "arguments": self.arguments}
        return Task(
            id=self.id,
            input={"messages": [("user", self.request)]},
            kind="generated",
            data={"id": self.id, "gold": gold},
        )

    def is_solved_by(self, tool: str, arguments: Json) -> bool:
        """Return whether a call is the gold call, whatever the order of its arguments."""
        return tool == self.tool and stable_json(arguments) == stable_json(self.arguments)


class TaskProposals(Record, frozen=True, kw_only=True):
    """The proposals of a generator that were kept, and counts of the others."""

    tasks: list[GeneratedTask]
    asked: int  # replies of the generator
    dropped: dict[str, int]  # proposals that were not kept, by reason


class TextModel(Protocol):
    """A chat model, as far as a generator needs one."""

    def invoke(self, messages: Any) -> Any:
        """Return a message with `content`."""
        ...


def propose_tasks(
    model: TextModel,
    tools: Sequence[dict[str, Any]],
    *,
    count: int,
    examples: Sequence[str] = (),
) -> TaskProposals:
    """Ask for proposals until `count` are kept, or several replies in a row add none.

    Args:
        model: The generator, sampling at a temperature above 0.
        tools: Tools in OpenAI's form, `{"type": "function", "function": {...}}`.
        count: Number of tasks.
        examples: Requests of real users, to show their style.
    """
    found: list[GeneratedTask] = []
    dropped: Counter[str] = Counter()
    asked = idle = 0
    while len(found) < count and idle < _PATIENCE:
        tool = tools[asked % len(tools)]
        reply = model.invoke(_write_prompt(tool, tools, examples, found))
        asked, idle = asked + 1, idle + 1
        task, reason = read_proposal(str(reply.content))
        reason = reason or (check_proposal(task, tools, found) if task else "no proposal")
        if task is None or reason:
            dropped[str(reason)] += 1
            continue
        found.append(task)
        idle = 0
    return TaskProposals(tasks=found, asked=asked, dropped=dict(sorted(dropped.items())))


def read_proposal(text: str) -> tuple[GeneratedTask | None, str | None]:
    """Return the proposal in a reply, or the reason why there is none."""
    try:
        given = json.loads(text[text.find("{") : text.rfind("}") + 1])
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        return None, "no JSON object"
    request, call = given.get("request"), given.get("call")
    if not isinstance(request, str) or not request.strip() or not isinstance(call, dict):
        return None, "no request or no call"
    name, arguments = call.get("name"), call.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None, "no request or no call"
    digest = hashlib.sha256(stable_json([request.strip(), name, arguments])).hexdigest()
    task = GeneratedTask(
        id=f"generated-{digest[:12]}", request=request.strip(), tool=name, arguments=arguments
    )
    return task, None


def check_proposal(
    task: GeneratedTask, tools: Sequence[dict[str, Any]], known: Sequence[GeneratedTask] = ()
) -> str | None:
    """Return the reason against a proposal; None if it is kept.

    Args:
        task: The proposal.
        tools: The tools in OpenAI's form.
        known: Proposals that are kept already.
    """
    from jsonschema import Draft202012Validator

    functions = {tool["function"]["name"]: tool["function"] for tool in tools}
    if task.tool not in functions:
        return "unknown tool"
    schema = functions[task.tool].get("parameters") or {}
    closed = {"additionalProperties": False, **schema}
    if next(iter(Draft202012Validator(closed).iter_errors(task.arguments)), None) is not None:
        return "arguments do not fit the schema"
    asked = task.request.casefold()
    values = [v for v in task.arguments.values() if isinstance(v, str | int | float)]
    if any(not isinstance(v, bool) and str(v).casefold() not in asked for v in values):
        return "an argument is not in the request"
    if any(other.request.casefold() == asked for other in known):
        return "same request"
    if any(other.is_solved_by(task.tool, task.arguments) for other in known):
        return "same call"
    return None


def _write_prompt(
    tool: dict[str, Any],
    tools: Sequence[dict[str, Any]],
    examples: Sequence[str],
    found: Sequence[GeneratedTask],
) -> list[tuple[str, str]]:
    system = (
        "You write test requests for an agent that has these tools:\n"
        + "\n".join(json.dumps(one["function"], sort_keys=True) for one in tools)
        + "\nReply with one JSON object and nothing else: "
        '{"request": "what a user would write", "call": {"name": "...", "arguments": {...}}}. '
        "The request names every argument of the call, and only this call answers it."
    )
    recent = [task.request for task in found[-5:]]
    lines = [
        f"Write a request that needs the tool {tool['function']['name']}.",
        *(f"Requests of users look like: {example}" for example in examples[:3]),
        *(f"Do not repeat: {request}" for request in recent),
    ]
    return [("system", system), ("user", "\n".join(lines))]
