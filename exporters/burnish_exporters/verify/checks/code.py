"""Verifier `code`: run the agent's program in a sandbox on given inputs and compare its output.

`code()` builds the verifier. Inputs and expected outputs come from the caller.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from burnish.errors import VerificationError
from burnish.journal.events import canonical
from burnish.protocols import VerifierTraits
from burnish.records import Trajectory, Verdict
from burnish_exporters.verify.evidence.agent_code import (
    RunsCode,
    class_of,
    code_of,
    last_words,
    limits_of,
    stage_of,
    version_of_place,
)
from burnish_exporters.verify.sandbox.box import Limits, Program, run
from burnish_exporters.verify.verdicts import unknown

MAIN = "main.py"


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input with its expected output.

    Attributes:
        stdout: Expected output; spaces at the ends of lines and of the text are ignored.
        stdin: Text on standard input.
        arguments: Command-line arguments.
    """

    stdout: str
    stdin: str = ""
    arguments: list[str] = []


@dataclass(frozen=True, kw_only=True)
class Code(RunsCode):
    """Run a program on inputs; see code()."""

    cases: dict[str, tuple[Case, ...]]
    name: str = "code"
    version: str = "1"
    traits = VerifierTraits()

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge the program of the run by what it prints."""
        cases = self.cases.get(trajectory.task_id or "", self.cases.get("*", ()))
        if not cases:
            return unknown(self, "no cases for this task")
        files = code_of(self, trajectory, MAIN)
        if isinstance(files, Verdict):
            return files
        main = MAIN if MAIN in files else next(iter(files), MAIN)
        for place, case in enumerate(cases):
            program = Program(
                command=(
                    sys.executable,
                    f"./{main}" if main.startswith("-") else main,
                    *case.arguments,
                ),
                files=files,
                stdin=case.stdin.encode("utf-8", "surrogateescape"),
            )
            ran = run(program, self.limits)
            if ran.ended == "lost":
                return unknown(self, "the sandbox broke", last_words(ran))
            found = class_of(ran)
            if found == "pass" and not _is_same_output(ran.stdout, case.stdout):
                found = "wrong output"
            if found != "pass":
                shown = ran.stdout[-300:].decode("utf-8", "replace")
                detail = shown if found == "wrong output" else last_words(ran)
                stage = stage_of(found, detail)
                evidence = {"class": found, "stage": stage, "case": place, "detail": detail}
                return self._verdict("fail", evidence)
        return self._verdict("success", {"class": "pass", "cases": len(cases)})

    def _verdict(self, label: Any, evidence: dict[str, Any]) -> Verdict:
        return Verdict(label=label, verifier=self.name, version=self.version, evidence=evidence)


def code(
    cases: Mapping[str, list[Any]] | str,
    *,
    program: str = "answer",
    limits: Limits | Mapping[str, Any] | None = None,
    folder: Path | str | None = None,
    trust_received: Sequence[str] = (),
    name: str = "code",
) -> Code:
    """Check what the agent's program prints when it runs in a sandbox.

    The program is Python. It has no network and reads only its own files; Limits says which
    resources it may use. The evidence holds the class of a failure: `wrong output`, `exception`,
    `time-out` or `resource limit`.

    Args:
        cases: A list of `{stdin, arguments, stdout}` by task id (or "*" for every task); or a JSON
            file that holds it.
        program: Place of the program: "answer", "state:KEY" or "module:function" (see code_of()).
        limits: Resource limits of each case; all cases together must end within the time limit of
            verification.
        folder: Folder in which files and modules are looked up.
        trust_received: With "state", received and imported final states count too.
        name: Name under which verdicts are stored.

    Raises:
        VerificationError: If cases or limits are malformed, or, on prepare(), if this machine has
            no sandbox.
    """
    place = Path(folder).absolute() if folder else Path.cwd()
    try:
        given = json.loads((place / cases).read_text("utf-8")) if isinstance(cases, str) else cases
        made = msgspec.convert(given, dict[str, tuple[Case, ...]])
    except (OSError, ValueError, msgspec.ValidationError) as problem:
        raise VerificationError(
            f"cases: {problem}",
            "lists of {stdin, stdout} by task id",
            'code({"*": [{"stdout": "4"}]})',
        ) from problem
    allowed = limits_of(limits)
    facts = [msgspec.to_builtins(made), program, asdict(allowed)]
    digest = hashlib.sha256(canonical(facts)).hexdigest()[:8]
    return Code(
        cases=made,
        program=program,
        limits=allowed,
        folder=place,
        trust_received=tuple(sorted(trust_received)),
        name=name,
        version=f"1.{digest}{version_of_place(program, place)}",
    )


def _is_same_output(printed: bytes, expected: str) -> bool:
    lines = printed.decode("utf-8", "replace").strip().splitlines()
    wanted = expected.strip().splitlines()
    return [line.rstrip() for line in lines] == [line.rstrip() for line in wanted]
