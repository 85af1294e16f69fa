"""Verifier `tests`: run tests against the agent's code.

`passes_tests()` builds the verifier.

How it works: the tests run in one sandbox and the code in another. They exchange messages over
pipes (sandbox/rpc.py) and share no process, file or memory, so the code cannot tamper with the
tests.

Only faults of the code fail a run. The verdict is "unknown" where the tests cannot be imported,
exceed time or memory, are killed, report too much, or depend on an answer that right and wrong code
can both give.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from burnish.errors import VerificationError
from burnish.files.storage import BROKEN_JSON
from burnish.journal.events import canonical
from burnish.protocols import VerifierTraits
from burnish.records import Trajectory, Verdict
from burnish_exporters.verify.evidence.agent_code import (
    EndClass,
    RunsCode,
    class_of,
    code_of,
    last_words,
    limits_of,
    stage_of,
    version_of_place,
)
from burnish_exporters.verify.sandbox.box import (
    Box,
    Limits,
    Program,
    ProgramRun,
    best_way,
    run_together,
)
from burnish_exporters.verify.verdicts import unknown

_SANDBOX = Path(__file__).parents[1] / "sandbox"
_REPORT_BYTES = 8 << 20
_TEST_LIBRARIES = (
    "pytest",
    "_pytest",
    "hypothesis",
    "numpy",
    "pandas",
)  # never treated as the code's own files
_GRAVEST: tuple[EndClass, ...] = ("time-out", "resource limit", "exception", "wrong output")


class _Test(msgspec.Struct, frozen=True):
    name: str
    kind: str
    detail: str


class _Report(msgspec.Struct, frozen=True):
    tests: list[_Test]
    problem: str | None = None
    at: str = "tests"
    ended: bool = False  # the code's process exited or broke the protocol
    stopped: str | None = None  # the side that did not end in time: "tests" or "code"
    cut: bool = False


@dataclass(frozen=True, kw_only=True)
class CodeTests(RunsCode):
    """Run tests against the code of a run; see passes_tests()."""

    tests: dict[str, str]
    name: str = "tests"
    version: str = "2"
    traits = VerifierTraits()

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge the code of the run by its tests."""
        tests = self.tests.get(trajectory.task_id or "", self.tests.get("*"))
        if tests is None:
            return unknown(self, "no tests for this task")
        files = code_of(self, trajectory, "solution.py")
        if isinstance(files, Verdict):
            return files
        checker, candidate = examine(tests, files, self.limits)
        return self._judged(_read_report(checker), checker, candidate)

    def _judged(
        self, report: _Report | None, checker: ProgramRun, candidate: ProgramRun
    ) -> Verdict:
        trouble = _find_trouble(report, checker, candidate)
        if report is None or trouble:
            return unknown(self, *(trouble or ("the tests broke", last_words(checker))))
        stopped = class_of(candidate) if candidate.ended != "exit" or candidate.code else "pass"
        bad = [test for test in report.tests if test.kind not in ("pass", "skipped", "undecided")]
        left = report.ended or report.stopped == "code"
        if stopped in ("time-out", "resource limit") and (bad or report.problem or left):
            return self._failed(stopped, last_words(candidate), report.tests)
        if report.stopped == "code":
            return self._failed("time-out", "the code did not answer in time", report.tests)
        if report.problem or report.ended:
            detail = report.problem or "the program ended while it was tested"
            kind = "resource limit" if report.at == "limits" else "exception"
            return self._failed(kind, detail, report.tests)
        if bad:
            worst = min(bad, key=lambda test: _GRAVEST.index(test.kind))  # type: ignore[arg-type]
            return self._failed(worst.kind, f"{worst.name}: {worst.detail}", report.tests)
        undecided = next((test for test in report.tests if test.kind == "undecided"), None)
        if undecided:
            reason = "the tests decide nothing"
            return unknown(self, reason, f"{undecided.name}: {undecided.detail}")
        passed = sum(test.kind == "pass" for test in report.tests)
        if not passed:
            return unknown(self, "no test ran")
        evidence = {"class": "pass", "tests": passed}
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
    trust_received: Sequence[str] = (),
    name: str = "tests",
) -> CodeTests:
    """Run tests against the agent's code, each in a sandbox.

    Tests import the code by the names of its files (`solution` where a file has no name). Tests are
    functions `test_*`, classes `Test*` or `unittest.TestCase`, and may be marked with
    `pytest.mark.parametrize`; fixtures are not supported. Values cross between the sandboxes by
    copy: compare plain data, or objects of the code with each other. A test whose result depends on
    an operation between an object of the tests and one of the code decides nothing. A file of the
    code that has the name of a module that the tests use makes the run unknown.

    Args:
        tests: Text of the tests by task id (or "*" for every task); or a folder of files `TASK.py`;
            or one file.
        program: Place of the code: "answer", "state:KEY" or "module:function" (see code_of()).
        limits: Resource limits of the code and of the tests, each.
        folder: Folder in which files and modules are looked up.
        trust_received: With "state", received and imported final states count too.
        name: Name under which verdicts are stored.

    Raises:
        VerificationError: If there are no tests, or, on prepare(), if this machine has no sandbox.
    """
    place = Path(folder).absolute() if folder else Path.cwd()
    given = (
        _read_sources(place / tests)
        if isinstance(tests, str)
        else {str(k): v for k, v in tests.items()}
    )
    if not given or not all(isinstance(cast("object", text), str) for text in given.values()):
        raise VerificationError(
            "no tests", "texts by task id, a folder or a file", 'passes_tests("checks")'
        )
    allowed = limits_of(limits)
    digest = hashlib.sha256(canonical([given, program, asdict(allowed)])).hexdigest()[:8]
    return CodeTests(
        tests=given,
        program=program,
        limits=allowed,
        folder=place,
        trust_received=tuple(sorted(trust_received)),
        name=name,
        version=f"3.{digest}{version_of_place(program, place)}",
    )


def examine(tests: str, files: Mapping[str, str], limits: Limits) -> tuple[ProgramRun, ProgramRun]:
    """Run tests against code; return how the tests ended (with their report) and how the code ended.

    Raises:
        VerificationError: If this machine has no sandbox.
    """
    modules = sorted({Path(path).parts[0].removesuffix(".py") for path in files})
    margin = min(1.0, limits.wall_s * 0.1)
    exam = {
        "tests": tests,
        "modules": modules,
        "installed": [name for name in modules if _is_installed(name)],
        "deadline": time.monotonic() + limits.wall_s - margin,
    }
    to_code, from_tests, to_tests, from_code = given = (*os.pipe(), *os.pipe())
    way, boxes = best_way(), []
    try:
        program = Program(
            command=_build_command("code_server"),
            files={**_read_own_modules("code_server"), **dict(files)},
            descriptors=(to_code, from_code),
        )
        boxes.append(Box(program, limits, way))
        program = Program(
            command=_build_command("test_runner"),
            files={**_read_own_modules("test_runner"), "exam.json": json.dumps(exam)},
            descriptors=(to_tests, from_tests),
            report_bytes=_REPORT_BYTES,
        )
        boxes.append(Box(program, limits, way))
    except BaseException:
        for box in boxes:
            box.end("time limit")
            box.close()
        raise
    finally:
        for descriptor in given:
            os.close(descriptor)
    candidate, checker = run_together(boxes, until=boxes[1])
    return checker, candidate


def _is_installed(name: str) -> bool:
    """Return whether a library of that name is installed here, even where the sandbox hides it."""
    folders = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    found = importlib.machinery.PathFinder.find_spec(name, folders) if name.isidentifier() else None
    return found is not None or name in _TEST_LIBRARIES


def _read_report(checker: ProgramRun) -> _Report | None:
    """Return the report of the tests; None where it is missing or cut."""
    try:
        return msgspec.json.decode(checker.report, type=_Report)
    except BROKEN_JSON:
        return None


def _find_trouble(
    report: _Report | None, checker: ProgramRun, candidate: ProgramRun
) -> tuple[str, str] | None:
    """Return reason and detail where the tests or the sandbox prevented a judgement of the code."""
    if "lost" in (checker.ended, candidate.ended):
        return "the sandbox broke", last_words(checker) + last_words(candidate)
    if report is None:
        return "the tests broke", last_words(checker)
    if report.stopped == "tests":
        return "the tests did not end in time", last_words(checker)
    if report.problem and report.at == "tests" and not report.ended:
        return "the tests cannot be run", report.problem
    if report.cut:
        return "more tests than can be run", f"{len(report.tests)} were run"
    return None


def _read_own_modules(main: str) -> dict[str, str]:
    """Return our own modules for a sandbox, in a folder that the code's names cannot hide."""
    package = f"{_OURS}/burnish_exporters"
    folders = ("", "/verify", "/verify/sandbox")
    found = {f"{package}{folder}/__init__.py": "" for folder in folders}
    for name in (main, "rpc", "remote_objects", "values"):
        found[f"{package}/verify/sandbox/{name}.py"] = (_SANDBOX / f"{name}.py").read_text("utf-8")
    return found


_OURS = ".exam"


def _build_command(main: str) -> tuple[str, ...]:
    start = (
        f"import sys; at_start = set(sys.modules); sys.path[0] = '/box/{_OURS}'; "
        f"from burnish_exporters.verify.sandbox.{main} import main; main(at_start)"
    )
    return (sys.executable, "-c", start)


def _read_sources(path: Path) -> dict[str, str]:
    try:
        if path.is_dir():
            return {file.stem: file.read_text("utf-8") for file in sorted(path.glob("*.py"))}
        return {"*": path.read_text("utf-8")}
    except (OSError, UnicodeError) as problem:
        raise VerificationError(
            f"tests {path}: {problem}", "a folder of TASK.py, or a file", f"ls {path.parent}"
        ) from problem
