"""What did the world answer? Exit codes and HTTP statuses in recorded tool results.

Knows: where results keep such numbers. Does not know: what the tools do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.records import Json, ToolRun, Trajectory, Verdict
from burnish_exporters.verify.json_schema import read_schema, schema_problem, schema_version
from burnish_exporters.verify.judge_one import unknown

_EXIT = re.compile(
    r"(?i)\b(?:exit(?:ed)?(?: with)?(?: code| status)?|return ?code)\s*[:=]?\s*(-?\d+)"
)
_HTTP = re.compile(r"(?i)\b(?:HTTP(?:/[\d.]+)?|status(?: code)?)\s*[:=]?\s*(\d{3})\b")


@dataclass(frozen=True, kw_only=True)
class ExitCode:
    """Reads the exit code of a command; see exit_code()."""

    tool: str | None = None
    expected: int = 0
    name: str = "exit_code"
    version: str = "1"
    kind = "check"

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge the last command that was run."""
        code = _number(
            _last(trajectory, self.tool), ("exit_code", "returncode", "exit_status", "code"), _EXIT
        )
        if code is None:
            return unknown(self, "no exit code was recorded")
        label = "success" if code == self.expected else "fail"
        evidence = {"exit_code": code}
        return Verdict(label=label, verifier=self.name, version=self.version, evidence=evidence)


def exit_code(tool: str | None = None, *, expected: int = 0, name: str = "exit_code") -> ExitCode:
    """Verifier that looks at the exit code of the last command.

    Args:
        tool: Tool that runs commands; by default the last tool run that has a code.
        expected: Code of success.
        name: Name under which verdicts are stored.
    """
    return ExitCode(tool=tool, expected=expected, name=name, version=f"1.{expected}")


@dataclass(frozen=True, kw_only=True)
class HttpStatus:
    """Reads the status and body of a request; see http_status()."""

    tool: str | None = None
    expected: tuple[int, ...] = ()
    schema: dict[str, Json] | None = None
    every: bool = False
    name: str = "http_status"
    version: str = "1"
    kind = "check"

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge the requests that were made."""
        runs = [run for run in _of(trajectory, self.tool) if _status(run) is not None]
        if not runs:
            return unknown(self, "no HTTP status was recorded")
        checked = runs if self.every else runs[-1:]
        problems = [problem for run in checked if (problem := self._problem(run))]
        evidence = {"statuses": [_status(run) for run in runs], "problems": problems[:5]}
        label = "fail" if problems else "success"
        return Verdict(label=label, verifier=self.name, version=self.version, evidence=evidence)

    def _problem(self, run: ToolRun) -> str | None:
        status = _status(run)
        right = status in self.expected if self.expected else 200 <= (status or 0) < 300
        if not right:
            return f"status {status}"
        if self.schema is None:
            return None
        return schema_problem(self.schema, _body(run.result))


def http_status(
    tool: str | None = None,
    *,
    expected: list[int] | None = None,
    schema: Mapping[str, Json] | str | None = None,
    every: bool = False,
    folder: Path | str | None = None,
    name: str = "http_status",
) -> HttpStatus:
    """Verifier that looks at the status of HTTP requests, and at the body's form.

    Args:
        tool: Tool that makes requests; by default every tool run that has a status.
        expected: Statuses of success; by default 200 to 299.
        schema: JSON schema of the body, or a file that holds it.
        every: Whether all requests must succeed; otherwise the last one.
        folder: Folder that a file is looked for in.
        name: Name under which verdicts are stored.
    """
    form = read_schema(schema, folder) if schema is not None else None
    version = f"{schema_version(form or {})}.{','.join(map(str, expected or ()))}.{every:d}"
    return HttpStatus(
        tool=tool,
        expected=tuple(expected or ()),
        schema=form,
        every=every,
        name=name,
        version=version,
    )


def _of(trajectory: Trajectory, tool: str | None) -> list[ToolRun]:
    return [run for run in trajectory.tool_runs if tool is None or run.name == tool]


def _last(trajectory: Trajectory, tool: str | None) -> Any:
    """Result of the last run of a tool; of any tool, the last that looks like a command's."""
    runs = _of(trajectory, tool)
    if tool is None:
        keys = ("exit_code", "returncode", "exit_status", "code")
        runs = [run for run in runs if _number(run.result, keys, _EXIT) is not None]
    return runs[-1].result if runs else None


def _status(run: ToolRun) -> int | None:
    return _number(run.result, ("status_code", "status", "http_status", "code"), _HTTP)


def _body(result: Any) -> Any:
    value = _parsed(result)
    if isinstance(value, dict):
        for key in ("json", "body", "data", "content"):
            if key in value:
                return _parsed(value[key])
    return value


def _number(result: Any, keys: tuple[str, ...], pattern: re.Pattern[str]) -> int | None:
    """A number under one of the keys, or behind its words in a text."""
    value = _parsed(result)
    if isinstance(value, dict):
        for key in keys:
            found = value.get(key)
            if isinstance(found, int) and not isinstance(found, bool):
                return found
            if isinstance(found, str) and re.fullmatch(r"-?\d+", found):
                return int(found)
        return None
    match = pattern.search(value) if isinstance(value, str) else None
    return int(match[1]) if match else None


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
