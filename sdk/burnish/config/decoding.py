"""Decode a table of settings into its type, and refuse unknown keys with the nearest name.

`decode_table` is the entry. burnish.toml, `configure()`, the overrides of a call, recipes and `--set` are
decoded here, so each key has one definition: the field of a msgspec struct, with default and range.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from burnish.config.nearest_names import suggest_name
from burnish.errors import SettingsError

_T = TypeVar("_T", bound=msgspec.Struct)


class Fault(NamedTuple):
    """The error of a wrong table: its class, and the command or place that helps."""

    error: Callable[[str, str, str], Exception] = SettingsError
    fix: str = "edit the file"
    help: str = "burnish doctor --keys"


_FAULT = Fault()


def decode_table(
    given: object,
    kind: type[_T],
    where: str,
    *,
    hidden: Collection[str] = (),
    fault: Fault = _FAULT,
    strict: bool = True,
    **fixed: Any,
) -> _T:
    """Return a table as its type.

    Args:
        given: The table.
        kind: Its type; a field whose default is a struct is a table in the table.
        where: Place of the table, such as "burnish.toml, [agent.support]".
        hidden: Fields that the table may not set.
        fault: The error to raise.
        strict: Refuse a number that is given as text.
        **fixed: Values of hidden fields.

    Raises:
        SettingsError: If a key is unknown, or a value has a wrong type or range; or the error of `fault`.
    """
    table = require_table(given, where, fault)
    _refuse_unknown_fields(table, kind, where, hidden, fault)
    try:
        return msgspec.convert({**table, **fixed}, kind, strict=strict)
    except msgspec.ValidationError as problem:
        told, expected = _describe_problem(str(problem), kind)
        raise fault.error(f"{where}: {told}", expected, fault.help) from problem


def _describe_problem(message: str, kind: type[msgspec.Struct]) -> tuple[str, str]:
    """Return what msgspec found, without its regular expressions, and the meaning of the key."""
    told, _, path = message.partition(" - at `$.")
    found: Any = kind
    meaning = "a value of the type and range of that key"
    for name in path.rstrip("`").split("."):
        hint = get_type_hints(found, include_extras=True).get(name) if _is_table(found) else None
        if hint is None:
            break
        found, *more = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        meaning = next(
            (one.description for one in more if isinstance(one, msgspec.Meta) and one.description),
            meaning,
        )
    if "matching regex" in told:
        return f"the value of {path.rstrip('`')} has another form", meaning
    return message, meaning


def _is_table(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, msgspec.Struct)


def require_table(given: object, where: str, fault: Fault = _FAULT) -> dict[str, Any]:
    """Return a mapping as a dict.

    Raises:
        SettingsError: If it is not a mapping; or the error of `fault`.
    """
    if not isinstance(given, Mapping):
        raise fault.error(f"{where} is {given!r}", "a table", fault.fix)
    return dict(given)


def refuse_unknown(
    given: Iterable[str], known: Collection[str], where: str, fault: Fault = _FAULT
) -> None:
    """Refuse the first unknown key.

    Raises:
        SettingsError: If a key is unknown; or the error of `fault`.
    """
    for name in given:
        if name not in known:
            raise fault.error(
                f"{where}: unknown key {name!r}", suggest_name(str(name), known), fault.fix
            )


def _refuse_unknown_fields(
    table: Mapping[str, Any],
    kind: type[msgspec.Struct],
    where: str,
    hidden: Collection[str],
    fault: Fault,
) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    refuse_unknown(table, [name for name in fields if name not in hidden], where, fault)
    for name, value in table.items():
        inner = fields[name].default
        if isinstance(inner, msgspec.Struct):
            place = f"{where[:-1]}.{name}]" if where.endswith("]") else f"{where}, {name}"
            _refuse_unknown_fields(
                require_table(value, place, fault), type(inner), place, (), fault
            )
