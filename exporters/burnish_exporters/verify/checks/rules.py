"""Verifier `rules`: fail runs that break a constitution, even if they reach their goal.

`rules()` reads allow-lists, patterns and predicates from a file. No other verdict outweighs a
broken rule. The file is TOML:

    allow_tools = ["find_order", "cancel_order"]     # any other tool is a violation
    deny_tools = ["drop_table"]
    deny_answer = ["(?i)guaranteed refund"]          # patterns in the final answer
    deny_arguments = { cancel_order = ['"all"'] }    # patterns in the arguments of a tool, in any spelling
    max_calls = { cancel_order = 1 }                 # most runs of a tool
    predicates = ["my_rules:no_refund_over_limit"]   # called with the trajectory; True means that the rule holds
"""

from __future__ import annotations

import hashlib
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from burnish.capture.recorder.values import WrongValue
from burnish.errors import VerificationError
from burnish.protocols import VerifierTraits
from burnish.records import ToolRun, Trajectory, Verdict
from burnish_exporters.verify.evidence.spellings import forms_of_arguments, spellings
from burnish_exporters.verify.evidence.user_functions import load_function, version_of
from burnish_exporters.verify.verdicts import read_answer


class Constitution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of a file."""

    allow_tools: list[str] | None = None
    deny_tools: list[str] = []
    deny_answer: list[str] = []
    deny_arguments: dict[str, list[str]] = {}
    max_calls: dict[str, int] = {}
    predicates: list[str] = []


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Check a constitution; see rules()."""

    constitution: Constitution
    folder: Path = field(default_factory=Path.cwd)
    name: str = "rules"
    version: str = "1"
    traits = VerifierTraits()
    gate = True

    def prepare(self) -> None:
        """Import the predicates."""
        for path in self.constitution.predicates:
            load_function(path, self.folder, self.version)

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge whether the run kept the rules."""
        broken = list(self._broken(trajectory))
        label = "fail" if broken else "success"
        evidence = {"broken": broken[:10]} if broken else None
        return Verdict(label=label, verifier=self.name, version=self.version, evidence=evidence)

    def _broken(self, trajectory: Trajectory) -> Iterator[str]:
        law = self.constitution
        for run in trajectory.tool_runs:
            yield from self._broken_by(run)
        counts = Counter(_fold_name(run.name) for run in trajectory.tool_runs)
        for tool, most in law.max_calls.items():
            if counts[_fold_name(tool)] > most:
                yield f"max_calls: {counts[_fold_name(tool)]} of {tool}"
        for pattern in law.deny_answer:
            if any(re.search(pattern, form) for form in spellings(trajectory.answer or "")):
                yield f"deny_answer: {pattern}"
        for path in law.predicates:
            try:
                holds = read_answer(load_function(path, self.folder, self.version)(trajectory))
            except WrongValue as wrong:
                raise VerificationError(
                    f"predicate {path} returned {wrong.found}", "True or False", f"edit {path}"
                ) from wrong
            if not holds:
                yield f"predicate: {path}"

    def _broken_by(self, run: ToolRun) -> Iterator[str]:
        law = self.constitution
        if law.allow_tools is not None and run.name not in law.allow_tools:
            yield f"allow_tools: {run.name}"
        if _fold_name(run.name) in map(_fold_name, law.deny_tools):
            yield f"deny_tools: {run.name}"
        name = _fold_name(run.name)
        denied = law.deny_arguments.items()
        patterns = [
            pattern for tool, found in denied if _fold_name(tool) == name for pattern in found
        ]
        if not patterns:
            return
        forms = forms_of_arguments(run)
        for pattern in patterns:
            if any(re.search(pattern, form) for form in forms):
                yield f"deny_arguments: {run.name} {pattern}"


def _fold_name(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()


def rules(
    constitution: Mapping[str, Any] | str, *, folder: Path | str | None = None, name: str = "rules"
) -> Rules:
    """Fail runs that break a rule of a constitution.

    Args:
        constitution: TOML file, or its content as a table.
        folder: Folder in which the file and predicates are looked up.
        name: Name under which verdicts are stored.

    Raises:
        VerificationError: If the file or a pattern is malformed, or a key is unknown.
    """
    place = Path(folder).absolute() if folder else Path.cwd()
    try:
        given: Any = constitution
        if isinstance(constitution, str):
            given = tomllib.loads((place / constitution).read_text("utf-8"))
        law = msgspec.convert(given, Constitution)
        patterns = [p for found in law.deny_arguments.values() for p in found]
        for pattern in [*law.deny_answer, *patterns]:
            re.compile(pattern)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError, re.error) as problem:
        raise VerificationError(
            f"constitution: {problem}", "the keys that rules() documents", "edit the constitution"
        ) from problem
    digest = hashlib.sha256(msgspec.json.encode(law, order="sorted")).hexdigest()[:8]
    versions = (version_of(path.partition(":")[0], place) for path in law.predicates)
    return Rules(
        constitution=law, folder=place, name=name, version=".".join(("3", digest, *versions))
    )
