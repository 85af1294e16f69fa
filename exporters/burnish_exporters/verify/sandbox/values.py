"""Encode plain data that travels between two sandboxes by value.

`encode_plain()` and `decode_plain()` define which types are plain data, and their form as JSON.
Subclasses of numbers, texts and containers travel as the plain value that they hold. Of the other
types only an exact instance is plain data: its class is the library's own on both sides. This file
imports only the standard library.
"""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import pathlib
import sys
import uuid
from collections.abc import Callable
from typing import Any

Wire = Any
Encode = Callable[[Any], Wire]
Decode = Callable[[Wire], Any]

_ARRAY_KINDS = "biufcSUmM"  # no object arrays, no record arrays
_named_tuples: dict[tuple[str, ...], Any] = {}


def encode_plain(value: Any, encode: Encode) -> Wire | None:
    """Encode plain data for transport; None where the value is not plain data.

    Args:
        value: Any value.
        encode: Encodes nested values.
    """
    if value is None or value is True or value is False:
        return ["v", value]
    exact = _EXACT.get(type(value))
    if exact is not None:
        return [exact[0], exact[1](value, encode)]
    if isinstance(value, tuple) and _is_named_tuple(type(value)):
        fields = [str(name) for name in type(value)._fields]  # type: ignore[attr-defined]
        return ["n", [type(value).__name__, fields, [encode(v) for v in tuple.__iter__(value)]]]
    for kind, tag, form in _HELD:
        if isinstance(value, kind) and not _is_enum(value):
            return [tag, form(value, encode)]
    return _encode_array(value)


def decode_plain(wire: Wire, decode: Decode) -> Any:
    """Decode transported plain data.

    Raises:
        KeyError: If the type tag is unknown.
        ValueError: If its form is wrong; TypeError, IndexError and ArithmeticError likewise.
    """
    return _READ[wire[0]](wire[1], decode)


def take_changes(old: Any, fresh: Any) -> None:
    """Update a list, set, mapping or array to the state of its copy on the other side."""
    if type(old) in (list, bytearray) and type(fresh) is type(old):
        old[:] = fresh
    elif type(old) in (dict, set) and type(fresh) is type(old):
        old.clear()
        old.update(fresh)
    elif _is_numpy(old, "ndarray") and type(fresh) is type(old):
        same = old.shape == fresh.shape and old.dtype == fresh.dtype
        old[...] = fresh if same else old


def _is_enum(value: Any) -> bool:
    return any(kind.__module__ == "enum" for kind in type(value).__mro__)


def _is_named_tuple(kind: type) -> bool:
    fields = getattr(kind, "_fields", None)
    return isinstance(fields, tuple) and all(isinstance(name, str) for name in fields)


def _is_numpy(value: Any, name: str) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, getattr(numpy, name, ()))


def _encode_array(value: Any) -> Wire | None:
    """Encode an array or scalar of numpy."""
    if not (_is_numpy(value, "ndarray") or _is_numpy(value, "generic")):
        return None
    if value.dtype.kind not in _ARRAY_KINDS:
        return None
    shape = list(value.shape) if _is_numpy(value, "ndarray") else None
    return ["a", [value.dtype.str, shape, value.tobytes().hex()]]


def _read_array(form: Any, decode: Decode) -> Any:
    import numpy as np

    name, shape, content = form
    kind = np.dtype(str(name))
    if kind.kind not in _ARRAY_KINDS:
        raise ValueError(name)
    flat = np.frombuffer(bytes.fromhex(content), dtype=kind)
    if shape is None:
        return flat[0]
    return flat.reshape([int(length) for length in shape]).copy()


def _named_tuple(form: Any, decode: Decode) -> Any:
    name, fields, values = form
    key = (str(name), *map(str, fields))
    if key not in _named_tuples:
        _named_tuples[key] = collections.namedtuple(key[0], key[1:], rename=True)  # noqa: PYI024 # pyright: ignore[reportUntypedNamedTuple] - names of the code
    return _named_tuples[key](*[decode(value) for value in values])


def _encode_all(values: Any, encode: Encode) -> list[Wire]:
    return [encode(value) for value in values]


def _encode_moment(value: Any, encode: Encode) -> Wire:
    offset = value.utcoffset()
    seconds = None if offset is None else offset.total_seconds()
    return [value.replace(tzinfo=None).isoformat(), seconds, value.fold]


def _read_moment(kind: Any) -> Callable[[Any, Decode], Any]:
    def read(form: Any, decode: Decode) -> Any:
        text, seconds, fold = form
        zone = None if seconds is None else dt.timezone(dt.timedelta(seconds=seconds))
        return kind.fromisoformat(text).replace(tzinfo=zone, fold=int(fold))

    return read


_Form = Callable[[Any, Encode], Wire]
_EXACT: dict[type, tuple[str, _Form]] = {
    decimal.Decimal: ("D", lambda it, encode: str(it)),
    fractions.Fraction: ("F", lambda it, encode: [hex(it.numerator), hex(it.denominator)]),
    dt.datetime: ("dt", _encode_moment),
    dt.time: ("tm", _encode_moment),
    dt.date: ("da", lambda it, encode: it.isoformat()),
    dt.timedelta: ("td", lambda it, encode: [it.days, it.seconds, it.microseconds]),
    range: ("r", lambda it, encode: [hex(it.start), hex(it.stop), hex(it.step)]),
    bytearray: ("ba", lambda it, encode: it.hex()),
    collections.deque: ("q", lambda it, encode: [_encode_all(it, encode), it.maxlen]),
    uuid.UUID: ("u", lambda it, encode: it.hex),
    pathlib.PosixPath: ("p", lambda it, encode: str(it)),
    pathlib.PurePosixPath: ("pp", lambda it, encode: str(it)),
}
_HELD: tuple[tuple[type, str, _Form], ...] = (
    (int, "i", lambda it, encode: hex(int.__index__(it))),
    (float, "f", lambda it, encode: float.__float__(it)),
    (str, "s", lambda it, encode: str.__str__(it)),
    (bytes, "b", lambda it, encode: bytes.hex(it)),
    (complex, "c", lambda it, encode: [it.real, it.imag]),
    (list, "l", lambda it, encode: _encode_all(list.__iter__(it), encode)),
    (tuple, "t", lambda it, encode: _encode_all(tuple.__iter__(it), encode)),
    (set, "e", lambda it, encode: _encode_all(set.__iter__(it), encode)),
    (frozenset, "z", lambda it, encode: _encode_all(frozenset.__iter__(it), encode)),
    (dict, "d", lambda it, encode: [_encode_all(pair, encode) for pair in dict.items(it)]),
)
_READ: dict[str, Callable[[Any, Decode], Any]] = {
    "v": lambda form, decode: {None: None, True: True, False: False}[form],
    "i": lambda form, decode: int(form, 16),
    "f": lambda form, decode: float(form),
    "s": lambda form, decode: str(form),
    "b": lambda form, decode: bytes.fromhex(form),
    "c": lambda form, decode: complex(*form),
    "l": lambda form, decode: [decode(w) for w in form],
    "t": lambda form, decode: tuple(decode(w) for w in form),
    "e": lambda form, decode: {decode(w) for w in form},
    "z": lambda form, decode: frozenset(decode(w) for w in form),
    "d": lambda form, decode: {decode(k): decode(v) for k, v in form},
    "n": _named_tuple,
    "a": _read_array,
    "D": lambda form, decode: decimal.Decimal(str(form)),
    "F": lambda form, decode: fractions.Fraction(int(form[0], 16), int(form[1], 16)),
    "dt": _read_moment(dt.datetime),
    "tm": _read_moment(dt.time),
    "da": lambda form, decode: dt.date.fromisoformat(form),
    "td": lambda form, decode: dt.timedelta(*form),
    "r": lambda form, decode: range(*(int(part, 16) for part in form)),
    "ba": lambda form, decode: bytearray.fromhex(form),
    "q": lambda form, decode: collections.deque([decode(w) for w in form[0]], form[1]),
    "u": lambda form, decode: uuid.UUID(form),
    "p": lambda form, decode: pathlib.Path(str(form)),
    "pp": lambda form, decode: pathlib.PurePosixPath(str(form)),
}
