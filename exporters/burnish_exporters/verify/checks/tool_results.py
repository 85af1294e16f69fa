"""Verifiers `exit_code` and `http_status`: read exit codes and HTTP statuses from recorded tool results.

`exit_code()` and `http_status()` build the verifiers. In a structured result only keys count,
because its texts may be output of a command. In a result that is text the last line counts.
Contradicting numbers give "unknown".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import VerificationError
from burnish.protocols import VerifierTraits
from burnish.records import Json, ToolRun, Trajectory, Verdict
from burnish_exporters.verify.checks.json_schema import read_schema, schema_problem, schema_version
from burnish_exporters.verify.evidence.spellings import visible
from burnish_exporters.verify.verdicts import unknown

_EXIT = re.compile(
    r"(?i)(?<![A-Za-z0-9])(?:exit(?:ed)?(?:[ _-]?with)?(?:[ _-]?(?:code|status))?|return(?:ed)?[ _-]?(?:code|status)|rc)"
    r"[\"']?\s{0,8}[:=]?\s{0,8}(-?\d+)(?![\w.])"
)
_HTTP = re.compile(
    r"(?i)(?<![A-Za-z0-9])(?:HTTP(?:/[\d.]{1,8})?|(?:HTTP[ _-]?)?status(?:[ _-]?code)?)[\"']?\s{0,8}[:=]?\s{0,8}(\d{3})(?![\w.])"
)
_CODE = "code"  # a key that other things may use too
_EXIT_KEYS = ("exitcode", "returncode", "exitstatus", _CODE)
_HTTP_KEYS = ("statuscode", "status", "httpstatus", "httpstatuscode", _CODE)
_DEEPEST = 4


@dataclass(frozen=True, kw_only=True)
class ExitCode:
    """Read the exit code of a command; see exit_code()."""

    tool: str | None = None
    expected: int = 0
    name: str = "exit_code"
    version: str = "2"
    traits = VerifierTraits()

    def prepare(self) -> None:
        """Require the name of the tool that runs commands."""
        _require_tool(self.tool, self.name, "bash")

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge the last command of the run."""
        runs = _runs_of(trajectory, self.tool)
        if not runs:
            return unknown(self, *_why_no_run(trajectory, self.tool))
        code = _find_number(runs[-1].result, _EXIT_KEYS, _EXIT)
        if code is None:
            return unknown(self, "no exit code was recorded")
        label = "success" if code == self.expected else "fail"
        evidence = {"exit_code": code}
        return Verdict(label=label, verifier=self.name, version=self.version, evidence=evidence)


def exit_code(tool: str | None = None, *, expected: int = 0, name: str = "exit_code") -> ExitCode:
    """Check the exit code of the last command.

    Args:
        tool: Tool that runs commands. It is required: prepare() raises without it, and every run is
            unknown.
        expected: Exit code of a success.
        name: Name under which verdicts are stored.
    """
    return ExitCode(tool=tool, expected=expected, name=name, version=f"3.{tool}.{expected}")


@dataclass(frozen=True, kw_only=True)
class HttpStatus:
    """Read the status and body of a request; see http_status()."""

    tool: str | None = None
    expected: tuple[int, ...] = ()
    schema: dict[str, Json] | None = None
    every: bool = False
    name: str = "http_status"
    version: str = "2"
    traits = VerifierTraits()

    def prepare(self) -> None:
        """Require the name of the tool that makes requests."""
        _require_tool(self.tool, self.name, "http_get")

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge the requests of the run."""
        runs = _runs_of(trajectory, self.tool)
        if not runs:
            return unknown(self, *_why_no_run(trajectory, self.tool))
        checked = runs if self.every else runs[-1:]
        statuses = [_read_status(run) for run in checked]
        problems = [
            problem
            for run, status in zip(checked, statuses, strict=True)
            if status is not None and (problem := self._problem(run, status))
        ]
        if None in statuses and not problems:
            return unknown(self, "no HTTP status was recorded")
        evidence = {"statuses": statuses, "problems": problems[:5]}
        label = "fail" if problems else "success"
        return Verdict(label=label, verifier=self.name, version=self.version, evidence=evidence)

    def _problem(self, run: ToolRun, status: int) -> str | None:
        right = status in self.expected if self.expected else 200 <= status < 300
        if not right:
            return f"status {status}"
        if self.schema is None:
            return None
        return schema_problem(self.schema, _read_body(run.result))


def http_status(
    tool: str | None = None,
    *,
    expected: list[int] | None = None,
    schema: Mapping[str, Json] | str | None = None,
    every: bool = False,
    folder: Path | str | None = None,
    name: str = "http_status",
) -> HttpStatus:
    """Check the status of HTTP requests, and optionally the schema of the body.

    Args:
        tool: Tool that makes requests. It is required: prepare() raises without it, and every run
            is unknown.
        expected: Statuses of a success; by default 200 to 299.
        schema: JSON schema of the body, or a file that holds it.
        every: Whether all requests must succeed; otherwise only the last one must.
        folder: Folder in which a file is looked up.
        name: Name under which verdicts are stored.
    """
    form = read_schema(schema, folder) if schema is not None else None
    allowed = ",".join(map(str, expected or ()))
    return HttpStatus(
        tool=tool,
        expected=tuple(expected or ()),
        schema=form,
        every=every,
        name=name,
        version=f"3.{tool}.{schema_version(form or {})}.{allowed}.{every:d}",
    )


def _require_tool(tool: str | None, name: str, example: str) -> None:
    if tool is None:
        raise VerificationError(
            f"{name} names no tool",
            "the tool whose results it reads, because other tools may print such numbers too",
            f'verify = [{{ {name} = "{example}" }}] in burnish.toml; `burnish traces show ID` lists the tools of a run',
        )


def _runs_of(trajectory: Trajectory, tool: str | None) -> list[ToolRun]:
    return [run for run in trajectory.tool_runs if run.name == tool]


def _why_no_run(trajectory: Trajectory, tool: str | None) -> tuple[str, str]:
    """Return reason and detail of a run in which the tool never ran."""
    seen = sorted({run.name for run in trajectory.tool_runs})
    reason = "no tool is named" if tool is None else "the tool never ran"
    return reason, f"{tool or 'no tool'}; tools of this run: {', '.join(seen) or 'none'}"


def _read_status(run: ToolRun) -> int | None:
    return _find_number(run.result, _HTTP_KEYS, _HTTP)


def _read_body(result: Any) -> Any:
    value = _parse_result(result)
    if isinstance(value, dict):
        for key in ("json", "body", "data", "content"):
            if key in value:
                return _parse_result(value[key])
    return value


def _find_number(result: Any, keys: tuple[str, ...], pattern: re.Pattern[str]) -> int | None:
    """Return the number under one of the keys, or in the last line of a text; None where several differ."""
    value = _parse_result(result)
    if isinstance(value, dict):
        found = _numbers_under(value, keys)
        strong = tuple(key for key in keys if key != _CODE)
        deeper = {number for item in value.values() for number in _numbers_within(item, strong)}
        return found.pop() if len(found) == 1 and deeper <= found else None
    if not isinstance(value, str):
        return None
    text = visible(value)
    said = {int(match[1]) for match in pattern.finditer(text)}
    lines = text.strip().splitlines()
    return said.pop() if len(said) == 1 and pattern.search(lines[-1]) else None


def _numbers_under(value: dict[str, Any], keys: tuple[str, ...]) -> set[int]:
    """Return the numbers under keys of these names, in any spelling of the key."""
    named = ((re.sub(r"[_\s-]", "", str(key)).lower(), item) for key, item in value.items())
    return {
        n for name, item in named if name in keys and (n := _read_whole_number(item)) is not None
    }


def _numbers_within(value: Any, keys: tuple[str, ...], depth: int = 0) -> Iterator[int]:
    """Yield the numbers under such keys in nested objects."""
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        yield from _numbers_under(value, keys)
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from _numbers_within(item, keys, depth + 1)


def _read_whole_number(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
        return int(value)
    return None


def _parse_result(value: Any) -> Any:
    """Return a result as its tool meant it: text blocks joined into one text, JSON decoded."""
    if isinstance(value, list) and value and all(_is_text_block(block) for block in value):
        value = "\n".join(block["text"] for block in value)
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value, object_pairs_hook=_object_of_pairs)
        except (ValueError, RecursionError):
            return value
    return value


def _is_text_block(block: Any) -> bool:
    return (
        isinstance(block, dict)
        and block.get("type") == "text"
        and isinstance(block.get("text"), str)
    )


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any] | None:
    """Build an object; None where a key repeats, because readers disagree on which value counts."""
    made = dict(pairs)
    return made if len(made) == len(pairs) else None
