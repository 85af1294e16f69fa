"""Does agent-written code pass its tests?

Knows: tests in one sandbox, the code in another, and a line between them (exam_wire.py), so that no trick of the code
reaches the tests: it shares no process, no file and no memory with them.
Does not know: any task; tests are given.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from burnish.errors import VerificationError
from burnish.journal.events import canonical
from burnish.records import Trajectory, Verdict
from burnish_exporters.verify.agent_code import (
    EndClass,
    RunsCode,
    class_of,
    code_of,
    last_words,
    limits_of,
    stage_of,
)
from burnish_exporters.verify.judge_one import unknown
from burnish_exporters.verify.sandbox import Box, Limits, Program, Ran, best_way, run_together

_HERE = Path(__file__).parent
_GRAVEST: tuple[EndClass, ...] = ("time-out", "resource limit", "exception", "wrong output")


class _Test(msgspec.Struct, frozen=True):
    name: str
    kind: str
    detail: str


class _Report(msgspec.Struct, frozen=True):
    tests: list[_Test]
    problem: str | None = None
    at: str = "tests"
    ended: bool = False


@dataclass(frozen=True, kw_only=True)
class CodeTests(RunsCode):
    """Runs tests against the code of a run; see passes_tests()."""

    tests: dict[str, str]
    name: str = "tests"
    version: str = "1"
    kind = "check"

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge the code of the run by its tests."""
        tests = self.tests.get(trajectory.task_id or "", self.tests.get("*"))
        if tests is None:
            return unknown(self, "no tests for this task")
        files = code_of(trajectory, self.program, self.folder, "solution.py")
        if files is None:
            return unknown(self, "no program was recorded")
        checker, candidate, told = examine(tests, files, self.limits)
        try:
            report = msgspec.json.decode(told, type=_Report)
        except msgspec.DecodeError:
            report = None
        return self._judged(report, checker, candidate)

    def _judged(self, report: _Report | None, checker: Ran, candidate: Ran) -> Verdict:
        if "lost" in (checker.ended, candidate.ended):
            return unknown(self, "the sandbox broke", last_words(checker) + last_words(candidate))
        stopped = class_of(candidate) if candidate.ended != "exit" or candidate.code else "pass"
        if report is None:
            found = class_of(checker)
            if stopped == "pass" and found == "exception":
                return unknown(self, "the tests broke", last_words(checker))
            kind = stopped if stopped not in ("pass", "exception") else found
            return self._failed(kind, last_words(checker), [])
        if (
            report.problem
            and report.at == "tests"
            and stopped in ("pass", "exception")
            and not report.ended
        ):
            return unknown(self, "the tests cannot be run", report.problem)
        ran = [test for test in report.tests if test.kind != "skipped"]
        bad = [test for test in ran if test.kind != "pass"]
        if stopped in ("time-out", "resource limit") and (bad or report.problem or report.ended):
            return self._failed(stopped, last_words(candidate), report.tests)
        if report.problem or report.ended:
            detail = report.problem or "the program ended while it was tested"
            kind = "resource limit" if report.at == "limits" else "exception"
            return self._failed(kind, detail, report.tests)
        if not ran:
            return unknown(self, "no test ran")
        if bad:
            worst = min(bad, key=lambda test: _GRAVEST.index(test.kind))  # type: ignore[arg-type]
            return self._failed(worst.kind, f"{worst.name}: {worst.detail}", report.tests)
        evidence = {"class": "pass", "tests": len(ran)}
        return Verdict(label="success", verifier=self.name, version=self.version, evidence=evidence)

    def _failed(self, kind: str, detail: str, tests: list[_Test]) -> Verdict:
        passed = sum(test.kind == "pass" for test in tests)
        counts = {"passed": passed, "tests": len(tests)}
        evidence = {"class": kind, "stage": stage_of(kind, detail), "detail": detail, **counts}
        return Verdict(label="fail", verifier=self.name, version=self.version, evidence=evidence)


def passes_tests(
    tests: Mapping[str, str] | str,
    *,
    program: str = "answer",
    limits: Limits | Mapping[str, Any] | None = None,
    folder: Path | str | None = None,
    name: str = "tests",
) -> CodeTests:
    """Verifier that runs tests against the agent's code.

    Tests import the code by the names of its files (`solution` where it has none) and are functions `test_*`, classes
    `Test*`, `unittest.TestCase`, or marked with `pytest.mark.parametrize`; fixtures are not known. Code and tests run
    in two sandboxes. Values cross by copy: compare plain data, or objects of the code with each other.

    Args:
        tests: Text of the tests by task id (or "*" for every task); or a folder of files `TASK.py`; or one file.
        program: Where the code is: "answer", "state:KEY" or "module:function" (see code_of()).
        limits: What code and tests may each use.
        folder: Folder that files and modules are looked for in.
        name: Name under which verdicts are stored.

    Raises:
        VerificationError: If there are no tests; when it is prepared, if there is no sandbox.
    """
    place = Path(folder).absolute() if folder else Path.cwd()
    given = (
        _read(place / tests) if isinstance(tests, str) else {str(k): v for k, v in tests.items()}
    )
    if not given or not all(isinstance(text, str) for text in given.values()):
        raise VerificationError(
            "no tests", "texts by task id, a folder or a file", 'passes_tests("checks")'
        )
    allowed = limits_of(limits)
    digest = hashlib.sha256(canonical([given, program, asdict(allowed)])).hexdigest()[:8]
    return CodeTests(
        tests=given, program=program, limits=allowed, folder=place, name=name, version=f"1.{digest}"
    )


def examine(tests: str, files: Mapping[str, str], limits: Limits) -> tuple[Ran, Ran, bytes]:
    """Run tests against code; returns how both ended, and the report.

    Raises:
        VerificationError: If this machine has no sandbox.
    """
    modules = sorted({Path(path).parts[0].removesuffix(".py") for path in files if path})
    exam = json.dumps({"tests": tests, "modules": modules})
    to_code, from_tests, to_tests, from_code, told, report = (*os.pipe(), *os.pipe(), *os.pipe())
    given = (to_code, from_tests, to_tests, from_code, report)
    way, boxes = best_way(), []
    try:
        own = {**_shipped("exam_candidate"), **dict(files)}
        program = Program(
            command=_command("exam_candidate"), files=own, descriptors=(to_code, from_code)
        )
        boxes.append(Box(program, limits, way))
        own = {**_shipped("exam_checker"), "exam.json": exam}
        program = Program(
            command=_command("exam_checker"), files=own, descriptors=(to_tests, from_tests, report)
        )
        boxes.append(Box(program, limits, way))
    except BaseException:
        for box in boxes:
            box.end("time limit")
        os.close(told)
        raise
    finally:
        for descriptor in given:
            os.close(descriptor)
    with os.fdopen(told, "rb") as reports:
        candidate, checker = run_together(boxes, until=boxes[1])
        return checker, candidate, reports.read(1 << 20)


def _shipped(main: str) -> dict[str, str]:
    """Our own part of what lies in a sandbox, out of the way of the code's names."""
    package = f"{_OURS}/burnish_exporters"
    found = {f"{package}/__init__.py": "", f"{package}/verify/__init__.py": ""}
    for name in (main, "exam_wire"):
        found[f"{package}/verify/{name}.py"] = (_HERE / f"{name}.py").read_text("utf-8")
    return found


_OURS = ".exam"


def _command(main: str) -> tuple[str, ...]:
    start = f"import sys; sys.path[0] = '/box/{_OURS}'; from burnish_exporters.verify.{main} import main; main()"
    return (sys.executable, "-c", start)


def _read(path: Path) -> dict[str, str]:
    try:
        if path.is_dir():
            return {file.stem: file.read_text("utf-8") for file in sorted(path.glob("*.py"))}
        return {"*": path.read_text("utf-8")}
    except (OSError, UnicodeError) as problem:
        raise VerificationError(
            f"tests {path}: {problem}", "a folder of TASK.py, or a file", f"ls {path.parent}"
        ) from problem
