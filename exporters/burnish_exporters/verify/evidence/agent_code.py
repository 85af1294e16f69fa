"""Find agent-written code in a run, and classify how it ended.

`code_of()` reads code from answers, final states or a user's function; `class_of()` gives one of
five classes. The package sandbox/ runs the code.

| class | meaning |
|---|---|
| `pass` | the code did what was asked |
| `wrong output` | it ended normally with another result |
| `exception` | it raised, ended with a code other than 0, or exited in the middle |
| `time-out` | it took too long |
| `resource limit` | it exceeded memory, processes, open files, disk or output |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import msgspec

from burnish.errors import VerificationError
from burnish.origins import UNTRUSTED_STATE, may_state_decide
from burnish.records import Trajectory, Verdict
from burnish_exporters.verify.evidence.user_functions import load_function, version_of
from burnish_exporters.verify.sandbox.box import Limits, ProgramRun, best_way
from burnish_exporters.verify.verdicts import unknown

EndClass = Literal["pass", "wrong output", "exception", "time-out", "resource limit"]

_FENCE = re.compile(r"```[ \t]{0,16}([\w+-]{0,64})[^\n]{0,200}\n(.*?)```", re.DOTALL)
_COMPILER = re.compile(r"(?:^|[\s:])(?:SyntaxError|IndentationError|TabError)\b")
_LIMITS = re.compile(
    rb"^(?:MemoryError|OSError: \[Errno (?:12|24|27|28)\]|BlockingIOError: \[Errno 11\]"
    rb"|RuntimeError: can't start new thread)",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class RunsCode:
    """Base of the verifiers that run agent-written code: place of the code and its resource limits."""

    program: str = "answer"
    limits: Limits = field(default_factory=Limits)
    folder: Path | None = None
    trust_received: tuple[str, ...] = ()
    name: str = ""
    version: str = ""

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge the code of a run."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Check that a sandbox is available, so that a missing one is one error instead of many "unknown" verdicts."""
        best_way()
        check_where(self.program, self.folder, self.version)


def code_of(verifier: RunsCode, trajectory: Trajectory, main: str) -> dict[str, str] | Verdict:
    """Return the files of agent-written code by path, or the verdict "unknown" where no code can be run.

    Args:
        verifier: Names the place of the code: "answer" (its last fenced block, else all of it),
            "state:KEY" (a text, or texts by path, in the final state), or "module:function", called
            with the trajectory.
        trajectory: The run.
        main: Path for a file that has no name.
    """
    found: Any
    where = verifier.program
    if where == "answer":
        found = _in_answer(trajectory.answer)
    elif where.startswith("state:"):
        if not may_state_decide(trajectory, verifier.trust_received):
            return unknown(verifier, UNTRUSTED_STATE, trajectory.state_origin)
        state = trajectory.final_state
        found = state.get(where.removeprefix("state:")) if isinstance(state, dict) else None
    else:
        found = load_function(where, verifier.folder, verifier.version)(trajectory)
    files = {main: found} if isinstance(found, str) else found
    if not isinstance(files, Mapping) or not all(isinstance(t, str) for t in files.values()):
        return unknown(verifier, "no program was recorded")
    named = {_plain_path(str(path)): text for path, text in files.items()}
    if None in named or len(named) != len(files) or not named:
        return unknown(
            verifier, "files that have no place", f"paths {sorted(map(str, files))[:20]}"
        )
    return {path: text for path, text in named.items() if path is not None}


def _plain_path(path: str) -> str | None:
    """Return a path relative to the folder without `..`; None where it leads out or is empty."""
    parts = PurePosixPath(path).parts
    inside = parts and parts[0] != "/" and ".." not in parts and "\0" not in path
    return "/".join(parts) if inside else None


def version_of_place(where: str, folder: Path) -> str:
    """Return ".VERSION" of the module whose function gives the code; empty where none does."""
    if where == "answer" or where.startswith("state:"):
        return ""
    return f".{version_of(where.partition(':')[0], folder)}"


def check_where(where: str, folder: Path | None, version: str) -> None:
    """Refuse a place from which code cannot be read.

    Raises:
        VerificationError: If the place has an unknown form.
        ImportPathError: If a function cannot be imported.
    """
    if where == "answer" or where.startswith("state:"):
        return
    if ":" not in where:
        raise VerificationError(
            f"program {where!r}", '"answer", "state:KEY" or "module:function"', 'program = "answer"'
        )
    load_function(where, folder, version)


def limits_of(given: Limits | Mapping[str, Any] | None) -> Limits:
    """Build limits from a table of burnish.toml.

    Raises:
        VerificationError: If a key is unknown or a value is not a number.
    """
    if isinstance(given, Limits):
        return given
    try:
        made = msgspec.convert(dict(given or {}), Limits)
        unknown = set(given or {}) - set(Limits.__dataclass_fields__)
    except msgspec.ValidationError as problem:
        raise VerificationError(f"limits: {problem}", "numbers", "limits = {wall_s = 5}") from None
    if unknown:
        raise VerificationError(
            f"limits: {sorted(unknown)}",
            f"of {list(Limits.__dataclass_fields__)}",
            "limits = {wall_s = 5}",
        )
    return made


def class_of(ran: ProgramRun) -> EndClass:
    """Return the class of an end; "pass" where the program ended normally."""
    if ran.ended == "time limit":
        return "time-out"
    if ran.ended in ("memory limit", "process limit", "output limit"):
        return "resource limit"
    if ran.code == 0:
        return "pass"
    if ran.code == -25 or _LIMITS.search(ran.stderr):  # signal 25: file size limit
        return "resource limit"
    return "exception"


def stage_of(kind: str, detail: str) -> str:
    """Return the stage of a failure: "compile", "test" (it ran, with another result) or "run"."""
    if kind == "wrong output":
        return "test"
    return "compile" if _COMPILER.search(detail) else "run"


def last_words(ran: ProgramRun) -> str:
    """Return the last line that a program wrote to standard error, else how it ended."""
    lines = ran.stderr.decode("utf-8", "replace").strip().splitlines()
    if ran.ended != "exit" or not lines:
        return ran.ended if ran.ended != "exit" else f"exit code {ran.code}"
    return lines[-1][:300]


def _in_answer(answer: str | None) -> str | None:
    blocks = _FENCE.findall(answer or "")
    python = [
        text for language, text in blocks if language.lower() in ("python", "py", "python3", "")
    ]
    return python[-1] if python else blocks[-1][1] if blocks else answer
