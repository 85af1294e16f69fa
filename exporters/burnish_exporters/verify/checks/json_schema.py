"""Verifier `json_schema`: find the JSON in an answer and check it against a schema.

`json_schema()` builds the verifier. It checks the form of the answer; other verifiers check its
content.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import VerificationError
from burnish.journal.events import canonical
from burnish.protocols import VerifierTraits
from burnish.records import Json, Trajectory, Verdict

_FENCE = re.compile(r"```(?:([A-Za-z][\w+-]{0,31})(?=\s))?\s{0,16}(.*?)```", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class JsonSchema:
    """Check the answer against a schema; see json_schema()."""

    schema: dict[str, Json]
    strict: bool = False
    name: str = "json_schema"
    version: str = "1"
    traits = VerifierTraits()

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge the final answer."""
        problem = self._problem(trajectory.answer)
        label = "fail" if problem else "success"
        evidence = {"problem": problem} if problem else None
        return Verdict(label=label, verifier=self.name, version=self.version, evidence=evidence)

    def _problem(self, answer: str | None) -> str | None:
        if answer is None:
            return "no answer"
        values: list[Any] = []
        try:
            for text in [answer] if self.strict else json_texts(answer):
                value = json.loads(
                    text, object_pairs_hook=_object_of_pairs, parse_constant=_refuse_constant
                )
                values.append(value)
        except (ValueError, RecursionError) as problem:
            return f"no JSON: {problem}"
        problems = [schema_problem(self.schema, value) for value in values]
        return next((problem for problem in problems if problem), None)


def json_schema(
    schema: Mapping[str, Json] | str,
    *,
    strict: bool = False,
    folder: Path | str | None = None,
    name: str = "json_schema",
) -> JsonSchema:
    """Check the final answer against a JSON schema.

    Args:
        schema: The schema, or a JSON file that holds it.
        strict: Whether the whole answer must be JSON. Otherwise the fenced blocks count, each of
            which must fit, or else the text between the outermost braces.
        folder: Folder in which a file is looked up.
        name: Name under which verdicts are stored.

    Raises:
        VerificationError: If the schema is not a JSON schema.
    """
    return JsonSchema(schema=read_schema(schema, folder), strict=strict, name=name,
                      version=schema_version(read_schema(schema, folder)))  # fmt: skip


def read_schema(schema: Mapping[str, Json] | str, folder: Path | str | None) -> dict[str, Json]:
    """Return a checked schema from a mapping or a file.

    Raises:
        VerificationError: If it is not a JSON schema.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        found = schema
        if isinstance(schema, str):
            found = json.loads((Path(folder or ".") / schema).read_text("utf-8"))
        if not isinstance(found, Mapping):
            raise ValueError(f"a {type(found).__name__}")  # noqa: TRY301, TRY004 - reported below with the rest
        Draft202012Validator.check_schema(dict(found))
    except (OSError, ValueError, SchemaError) as problem:
        raise VerificationError(
            f"JSON schema: {str(problem).splitlines()[0]}",
            "a JSON schema, or a file that holds one",
        ) from problem
    return dict(found)


def schema_version(schema: dict[str, Json]) -> str:
    """Return a version that follows the schema."""
    return "2." + hashlib.sha256(canonical(schema)).hexdigest()[:8]


def schema_problem(schema: dict[str, Json], value: Any) -> str | None:
    """Return the first way in which a value breaks a schema; None if it fits."""
    from jsonschema import Draft202012Validator

    error = next(iter(Draft202012Validator(schema).iter_errors(value)), None)
    if error is None:
        return None
    return f"at {'/'.join(map(str, error.absolute_path)) or 'top'}: {error.message[:300]}"


def json_texts(answer: str) -> list[str]:
    """Return the JSON texts of an answer: its fenced blocks, else the outermost brackets, else all of it."""
    fenced = [(language.lower(), text) for language, text in _FENCE.findall(answer)]
    for wanted in (
        "json",
        "",
    ):  # blocks of other languages count only where there is no JSON block
        if found := [text for language, text in fenced if language == wanted]:
            return found
    if fenced:
        return [text for _, text in fenced]
    starts = [place for place in (answer.find("{"), answer.find("[")) if place >= 0]
    end = max(answer.rfind("}"), answer.rfind("]"))
    return [answer[min(starts) : end + 1] if starts and end > min(starts) else answer]


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object and refuse a repeated key, because readers disagree on which value counts."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return made


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
