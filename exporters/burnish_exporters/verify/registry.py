"""Build verifiers by name: the built-in ones, and those that other packages register through entry points.

`make_verifiers()` is the entry: it turns the entries of `verify` in burnish.toml into verifiers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from burnish.config.nearest_names import suggest_name
from burnish.errors import BurnishError, NoVerifier, VerificationError
from burnish.protocols import Verifier
from burnish_exporters.verify.checks.code import code
from burnish_exporters.verify.checks.code_tests import passes_tests
from burnish_exporters.verify.checks.composed import all_of, any_of, weighted
from burnish_exporters.verify.checks.dom_assert import dom_assert
from burnish_exporters.verify.checks.goal_state import goal_state
from burnish_exporters.verify.checks.json_schema import json_schema
from burnish_exporters.verify.checks.judge import judge_by
from burnish_exporters.verify.checks.outcome import human, outcome
from burnish_exporters.verify.checks.reference_match import reference_match
from burnish_exporters.verify.checks.rules import rules
from burnish_exporters.verify.checks.sql_result_set import sql_result_set
from burnish_exporters.verify.checks.tool_calls import tool_calls
from burnish_exporters.verify.checks.tool_results import exit_code, http_status

GROUP = "burnish.verifiers"

_BUILT_IN: dict[str, Callable[..., Any]] = {
    "code": code,
    "dom_assert": dom_assert,
    "exit_code": exit_code,
    "goal_state": goal_state,
    "http_status": http_status,
    "human": human,
    "json_schema": json_schema,
    "judge": judge_by,
    "outcome": outcome,
    "reference_match": reference_match,
    "rules": rules,
    "sql_result_set": sql_result_set,
    "tests": passes_tests,
    "tool_calls": tool_calls,
}
_COMPOSED: dict[str, Callable[..., Verifier]] = {
    "all_of": all_of,
    "any_of": any_of,
    "weighted": weighted,
}


def make_verifiers(
    config: Sequence[Any], folder: Path | str, *, trust_received: Sequence[str] = ()
) -> list[Verifier]:
    """Build the verifiers that the key `verify` of burnish.toml declares.

    Args:
        config: Each entry is a name ("outcome"), a table with one key and the verifier's main
            argument ({"goal_state": "checks:reached_goal"}), the same with a table of arguments, or
            a Verifier; {"all_of": [...]}, {"any_of": [...]} and {"weighted": ...} hold further
            entries; see _compose_entries().
        folder: Folder of burnish.toml; modules and files are looked up there first.
        trust_received: Sources whose received and imported facts decide; `trust_received` of
            `[agent.NAME]`.

    Raises:
        NoVerifier: If nothing is declared.
        VerificationError: If a name is unknown or declared twice, or if its arguments do not fit.
    """
    if not config:
        raise NoVerifier(
            "no verifier is declared",
            "at least one under `verify`",
            'verify = ["outcome"] in burnish.toml',
        )
    place = _Place(Path(folder), tuple(trust_received))
    made = [_make_verifier(entry, place) for entry in config]
    names = [verifier.name for verifier in made]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise VerificationError(
            f"verifier {twice[0]!r} is declared twice",
            "a different name for each verifier",
            f'{{{twice[0]} = {{..., name = "second"}}}}',
        )
    return made


def known_verifiers() -> list[str]:
    """Return the names that can be declared."""
    return sorted({*_BUILT_IN, *_COMPOSED, *(entry.name for entry in entry_points(group=GROUP))})


def described() -> dict[str, str]:
    """Return the description of each verifier that can be declared, by name."""
    made = {name: _COMPOSED.get(name) or _find_factory(name) for name in known_verifiers()}
    return {name: (inspect.getdoc(one) or "").partition("\n")[0] for name, one in made.items()}


class _Place(NamedTuple):
    """Defaults that every verifier of a burnish.toml gets unless its entry sets them."""

    folder: Path
    trust_received: tuple[str, ...]


def _make_verifier(entry: Any, place: _Place) -> Verifier:
    if isinstance(entry, Verifier):
        return entry
    name, arguments = entry, None
    if isinstance(entry, dict) and len(entry) == 1:
        name, arguments = next(iter(entry.items()))
    if not isinstance(name, str):
        raise VerificationError(
            f"a verifier is declared as {entry!r}",
            "a name, or a table with one key",
            '{goal_state = "checks:reached_goal"}',
        )
    if name in _COMPOSED:
        return _compose_entries(name, arguments, place)
    factory = _find_factory(name)
    positional, named = _split_arguments(arguments)
    for key in inspect.signature(factory).parameters.keys() & place._asdict().keys():
        named.setdefault(key, getattr(place, key))
    _refuse_wrong_types(name, factory, positional, named)
    try:
        return factory(*positional, **named)
    except (TypeError, ValueError, LookupError, AttributeError) as problem:
        if isinstance(problem, BurnishError):
            raise
        raise VerificationError(
            f"verifier {name}: {problem}",
            f"{name}{inspect.signature(factory)}",
            "edit burnish.toml",
        ) from problem


def _refuse_wrong_types(
    name: str, factory: Callable[..., Any], positional: list[Any], named: dict[str, Any]
) -> None:
    """Refuse a value whose type differs from a simple annotation.

    A text such as "false" would otherwise count as true.

    Raises:
        VerificationError: If a value has another type than the annotation.
    """
    try:
        signature = inspect.signature(factory, eval_str=True)
        given = signature.bind_partial(*positional, **named).arguments
    except (TypeError, ValueError, NameError):
        return  # the call itself reports which argument does not fit
    for key, value in given.items():
        declared = signature.parameters[key].annotation
        if declared not in _SIMPLE:
            continue
        try:
            msgspec.convert(value, declared, strict=True)
        except msgspec.ValidationError as problem:
            raise VerificationError(
                f"verifier {name}: {key} is {value!r}",
                str(problem).removeprefix("Expected ").partition(", got")[0],
                "edit burnish.toml",
            ) from problem


_SIMPLE = (bool, int, float, str, float | None, str | None, list[int] | None)


def _compose_entries(name: str, given: Any, place: _Place) -> Verifier:
    """Build one composed verifier from a list of entries, or from a table of `parts`, `gates` and `name`.

    The parts of "weighted" are pairs of an entry and its weight; its table may have a `threshold`.
    """
    table = dict(given) if isinstance(given, dict) else {"parts": given}
    parts, gates = table.pop("parts", None), table.pop("gates", [])
    try:
        closed = [_make_verifier(entry, place) for entry in gates]
        if name == "weighted":
            pairs = [(_make_verifier(entry, place), float(weight)) for entry, weight in parts]
            return weighted(pairs, gates=closed, **table)
        return _COMPOSED[name](
            *(_make_verifier(entry, place) for entry in parts), gates=closed, **table
        )
    except (TypeError, ValueError) as problem:
        if isinstance(problem, VerificationError):
            raise
        raise VerificationError(
            f"verifier {name}: {problem}",
            'a list of verifiers; for "weighted", a list of pairs of a verifier and its weight',
            '{ all_of = { parts = ["outcome", "tool_calls"], gates = [{ rules = "constitution.toml" }] } }',
        ) from problem


def _split_arguments(given: Any) -> tuple[list[Any], dict[str, Any]]:
    """Split what an entry gives into positional and named arguments."""
    if given is None:
        return [], {}
    return ([], dict(given)) if isinstance(given, dict) else ([given], {})


def _find_factory(name: str) -> Callable[..., Any]:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    for entry in entry_points(group=GROUP, name=name):
        return entry.load()
    raise VerificationError(
        f"unknown verifier {name!r}",
        suggest_name(name, known_verifiers()),
        "edit `verify` in burnish.toml",
    )
