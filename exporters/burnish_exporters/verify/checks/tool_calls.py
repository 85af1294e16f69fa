"""Verifier `tool_calls`: check each call against the schema that the model was offered.

`tool_calls()` builds the verifier. It finds malformed calls; other verifiers say whether a call was
useful.

| class | meaning |
|---|---|
| `unknown_tool` | no tool of that name was offered |
| `missing_required` | a required argument is missing |
| `extra_argument` | the schema does not have the argument |
| `wrong_type` | a value has another type, or the arguments are not an object |
| `wrong_value` | a value of the right type that the schema excludes (enum, range, pattern) |
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from burnish.protocols import VerifierTraits
from burnish.records import Json, Tool, Trajectory, Verdict
from burnish_exporters.verify.verdicts import unknown

CLASSES = ("unknown_tool", "missing_required", "extra_argument", "wrong_type", "wrong_value")


@dataclass(frozen=True, slots=True)
class CallProblem:
    """A mistake in a call: its class and its place."""

    kind: str
    detail: str


def check_call(name: str, arguments: Any, tools: Sequence[Tool]) -> CallProblem | None:
    """Return the gravest mistake of a call; None if it has none.

    Args:
        name: Name of the called tool.
        arguments: Its arguments, as an object or as the JSON text that the model wrote.
        tools: Tools that were offered, flat or nested under "function".
    """
    offered = {_function_of_tool(tool).get("name"): _function_of_tool(tool) for tool in tools}
    if name not in offered:
        return CallProblem("unknown_tool", name)
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return CallProblem("wrong_type", "arguments are not JSON")
    if not isinstance(arguments, dict):
        return CallProblem("wrong_type", "arguments are not an object")
    found = _find_problems(offered[name].get("parameters") or {}, arguments)
    return min(found, key=lambda problem: CLASSES.index(problem.kind), default=None)


@dataclass(frozen=True, kw_only=True)
class ToolCalls:
    """Check every call of a run; see tool_calls()."""

    tolerate: int = 0
    name: str = "tool_calls"
    version: str = "1"
    traits = VerifierTraits()

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge the calls that the model made."""
        found: list[tuple[str, CallProblem]] = []
        calls = 0
        for call in trajectory.model_calls:
            for part in (call.reply or {}).get("parts") or ():
                if part.get("type") not in ("tool_call", "invalid_tool_call"):
                    continue
                calls += 1
                problem = check_call(part.get("name") or "", part.get("arguments"), call.tools)
                if problem:
                    found.append((part.get("name") or "", problem))
        if not trajectory.model_calls:
            return unknown(self, "no model call")
        evidence: dict[str, Json] = {
            "calls": calls,
            "classes": dict(Counter(problem.kind for _, problem in found)),
            "first": [f"{name}: {problem.kind} {problem.detail}" for name, problem in found[:5]],
        }
        label = "fail" if len(found) > self.tolerate else "success"
        return Verdict(label=label, verifier=self.name, version=self.version, evidence=evidence)


def tool_calls(*, tolerate: int = 0, name: str = "tool_calls") -> ToolCalls:
    """Fail runs with malformed tool calls.

    Success means that the calls were well formed, not that the task was solved: combine this
    verifier with one that checks the result.

    Args:
        tolerate: Number of malformed calls to forgive, such as those from which the run recovered.
        name: Name under which verdicts are stored.
    """
    return ToolCalls(tolerate=tolerate, name=name, version=f"1.{tolerate}")


def _function_of_tool(tool: Tool) -> dict[str, Any]:
    function = tool.get("function")
    return function if isinstance(function, dict) else tool


def _find_problems(schema: dict[str, Any], arguments: dict[str, Any]) -> list[CallProblem]:
    from jsonschema import Draft202012Validator

    found = []
    for error in Draft202012Validator(_close_schema(schema)).iter_errors(arguments):
        place = "/".join(map(str, error.absolute_path)) or "arguments"
        kind = _KINDS.get(str(error.validator), "wrong_value")
        found.append(CallProblem(kind, f"at {place}: {error.message[:200]}"))
    return found


_KINDS = {
    "required": "missing_required",
    "additionalProperties": "extra_argument",
    "unevaluatedProperties": "extra_argument",
    "type": "wrong_type",
    "anyOf": "wrong_type",
    "oneOf": "wrong_type",
}


def _close_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema; without its own rule on unnamed arguments it refuses them."""
    if "additionalProperties" in schema or "$ref" in schema or "allOf" in schema:
        return schema
    return {**schema, "additionalProperties": False} if "properties" in schema else schema
