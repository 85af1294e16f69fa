"""Verifier `reference_match`: compare the final answer with a known one.

`reference_match()` builds the verifier. It supports four kinds of comparison; references come from
the caller.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from burnish.capture.recorder.values import read_text
from burnish.errors import EvaluationError, VerificationError
from burnish.journal.events import canonical
from burnish.protocols import VerifierTraits
from burnish.records import Json, Trajectory, Verdict
from burnish_exporters.verify.evidence.claims import without_claims
from burnish_exporters.verify.evidence.user_functions import load_function, version_of
from burnish_exporters.verify.verdicts import unknown

Mode = Literal["exact", "text", "numeric", "set"]

_NUMBER = re.compile(
    r"(?<![\w.)])[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?"
    r"(?P<over>\s?/\s?\d+(?:\.\d+)?)?(?P<power>\s?(?:\^|\*\*)\s?[-+(]?\d+|[\u00b2\u00b3\u00b9\u2070-\u207f])?"
    r"|(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?"
)
_MINUS = str.maketrans(dict.fromkeys("\u2011\u2012\u2013\u2212\ufe63\uff0d", "-"))
"""Dashes that stand for a minus where a number follows."""


@dataclass(frozen=True, kw_only=True)
class ReferenceMatch:
    """Compare the answer with a reference; see reference_match()."""

    references: dict[str, Json] = field(default_factory=dict)
    function: str | None = None
    folder: Path | None = None
    mode: Mode = "text"
    tolerance: float = 1e-6
    name: str = "reference_match"
    version: str = "1"
    traits = VerifierTraits()

    def prepare(self) -> None:
        """Import the function that gives references, if one is named."""
        if self.function:
            load_function(self.function, self.folder, self.version)

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge one trajectory by its final answer."""
        expected = self._expected(trajectory)
        if expected is None:
            return unknown(self, "no reference for this task")
        if trajectory.answer is None:
            label = "fail"
        else:
            label = "success" if self._matches(trajectory.answer, expected) else "fail"
        evidence = {"expected": expected, "answer": (trajectory.answer or "")[:500]}
        return Verdict(label=label, verifier=self.name, version=self.version, evidence=evidence)

    def _expected(self, trajectory: Trajectory) -> Json:
        if self.function:
            return load_function(self.function, self.folder, self.version)(trajectory)
        return self.references.get(trajectory.task_id or "")

    def _matches(self, answer: str, expected: Json) -> bool:
        return _MATCHERS[self.mode](answer, expected, self.tolerance)


def reference_match(
    references: Mapping[str, Json] | str,
    *,
    mode: Mode = "text",
    tolerance: float = 1e-6,
    folder: Path | str | None = None,
    name: str = "reference_match",
) -> ReferenceMatch:
    """Compare the final answer with a reference.

    Args:
        references: Answers by task id; or a JSON file of them; or a file or folder of tasks
            ("tasks/"), whose `reference` counts; or "module:function", called with the trajectory. A task without a reference is unknown. In a list, any entry is a right
            answer (mode "set": all together).
        mode: "exact"; "text" ignores case, spacing and end punctuation; "numeric" compares the last
            number of the answer; "set" compares comma- or line-separated entries in any order.
        tolerance: Largest relative difference of two equal numbers.
        folder: Folder in which files and modules are looked up.
        name: Name under which verdicts are stored.

    Raises:
        VerificationError: If the mode is unknown, the tolerance is negative or infinite, or the
            file holds no JSON object.
    """
    if mode not in _MATCHERS:
        raise VerificationError(
            f"mode {mode!r}", f"one of {', '.join(_MATCHERS)}", 'reference_match(..., mode="text")'
        )
    if not 0 <= tolerance < math.inf:
        raise VerificationError(
            f"tolerance {tolerance}", "a number from 0", "reference_match(..., tolerance=1e-6)"
        )
    place = Path(folder).absolute() if folder else Path.cwd()
    common: dict[str, Any] = {"mode": mode, "tolerance": tolerance, "folder": place, "name": name}
    setting = "" if tolerance == 1e-6 else f"~{tolerance:g}"
    known, function, digest = given_references(references, place)
    return ReferenceMatch(
        references=known, function=function, version=f"2.{mode}{setting}.{digest}", **common
    )


def given_references(
    references: Mapping[str, Json] | str, folder: Path
) -> tuple[dict[str, Json], str | None, str]:
    """Return the references by task id, or the function that gives them, and a version that follows them.

    Args:
        references: Answers by task id; or a JSON file of them; or a file or folder of tasks, whose `reference` counts;
            or "module:function".
        folder: Folder in which files and modules are looked up.

    Raises:
        VerificationError: If the file holds no JSON object, or references have another form.
    """
    if isinstance(references, str) and _names_tasks(references, folder):
        known = _read_task_references(folder / references)
        return known, None, hashlib.sha256(canonical(known)).hexdigest()[:8]
    if isinstance(references, str) and not references.endswith(".json"):
        return {}, references, version_of(references.partition(":")[0], folder)
    if not isinstance(cast("object", references), (str, Mapping)):
        raise VerificationError(
            f"references: a {type(references).__name__}",
            'a table by task id, a file "NAME.json", or "module:function"',
            'references = "answers.json"',
        )
    if isinstance(references, str):
        known = _read_references(folder / references)
    else:
        known = {read_text(task): reference for task, reference in references.items()}
    return known, None, hashlib.sha256(canonical(known)).hexdigest()[:8]


def _names_tasks(references: str, folder: Path) -> bool:
    return references.endswith((".jsonl", "/")) or (folder / references).is_dir()


def _read_task_references(place: Path) -> dict[str, Json]:
    """Return the reference of each task of a file or folder; of a table the answer in it."""
    from burnish_exporters.tasks.task_files import read_tasks

    try:
        rows = [stored.row for stored in read_tasks(place)]
    except EvaluationError as problem:
        raise VerificationError(problem.found, problem.expected, problem.fix) from problem
    found = {row["id"]: row.get("reference") for row in rows}
    answers = {
        task: value.get("answer") if isinstance(value, dict) else value
        for task, value in found.items()
    }
    return {task: answer for task, answer in answers.items() if answer is not None}


def _read_references(file: Path) -> dict[str, Json]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as problem:
        raise VerificationError(
            f"references {file}: {problem}", "a JSON object of answers by task id", f"ls {file}"
        ) from problem
    if not isinstance(found, dict):
        raise VerificationError(
            f"references {file}: a {type(found).__name__}", "a JSON object of answers by task id"
        )
    return found


def normalised(text: Any) -> str:
    """Return a text without differences of case, spacing, width and end punctuation."""
    folded = unicodedata.normalize("NFKC", str(text)).casefold()
    return " ".join(folded.split()).strip(" .!?;:\"'")


def _match_any(match: Callable[[str, Json, float], bool]) -> Callable[[str, Json, float], bool]:
    def matches(answer: str, expected: Json, tolerance: float) -> bool:
        options = expected if isinstance(expected, list) else [expected]
        return any(match(answer, option, tolerance) for option in options)

    return matches


def _match_exact(answer: str, expected: Json, tolerance: float) -> bool:
    del tolerance
    return answer == (expected if isinstance(expected, str) else json.dumps(expected))


def _match_text(answer: str, expected: Json, tolerance: float) -> bool:
    del tolerance
    return normalised(answer) == normalised(expected)


def _match_numeric(answer: str, expected: Json, tolerance: float) -> bool:
    got, want = _last_number(without_claims(answer)), _last_number(str(expected))
    if got is None or want is None:
        return False
    return abs(got - want) <= tolerance * max(1.0, abs(want))


def _last_number(text: str) -> float | None:
    """Return the last number of a text, a fraction as its quotient; None without a number or for a power."""
    numbers = list(_NUMBER.finditer(text.translate(_MINUS)))
    if not numbers or numbers[-1]["power"]:
        return None
    found = numbers[-1]
    over = found["over"] or ""
    number = float(found[0].removesuffix(over).replace(",", ""))
    if not over:
        return number
    divisor = float(over.strip().lstrip("/"))
    return number / divisor if divisor else None


def _match_set(answer: str, expected: Json, tolerance: float) -> bool:
    del tolerance
    entries = expected if isinstance(expected, list) else re.split(r"[,;\n]", str(expected))
    wanted = {normalised(entry) for entry in entries} - {""}
    return {normalised(entry) for entry in re.split(r"[,;\n]", answer)} - {""} == wanted


_MATCHERS: dict[str, Callable[[str, Json, float], bool]] = {
    "exact": _match_any(_match_exact),
    "text": _match_any(_match_text),
    "numeric": _match_any(_match_numeric),
    "set": _match_set,
}
