"""Proxies, in the tests' sandbox, for objects that live in the code's sandbox.

A `Remote` asks the other side for an operation and decides which answers count; rpc.py transports
them.

Three rules keep a proxy from deciding a test by itself:
- an object of the code equals no plain value and has no order with one;
- an operation between an object of the code and a plain value hands that value to the code, so it
  gives an object or raises `Doubt`, and never a plain value;
- of such a result, only what a plain value in its place could not do counts: `abs(f(2) - 12.5) <
  0.1` is in doubt, `(Vector(1, 2) * 2).x` is what the tests wanted to know.

`Doubt` makes a test undecided. This file imports only the standard library.
"""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import fractions
import importlib
import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

_MOST_MEMBERS = 100_000
_NUMBERS = (int, float, complex, decimal.Decimal, fractions.Fraction)
_CONTAINERS = (str, bytes, list, tuple, set, frozenset, dict)
_TIMES = (dt.datetime, dt.date, dt.time, dt.timedelta)
_Kinds = tuple[type, ...] | None  # kinds of plain values that took part; None: any kind


class Doubt(BaseException):
    """The test depends on an answer that proves nothing. A BaseException, so that tests do not catch it by mistake."""


class Remote:
    """Proxy for an object of the other side.

    Args:
        peer: Connection to the other side.
        number: Number of the object there.
        mixed: Kinds of the plain values from which an operation made the object; None for any kind;
            () for none.
    """

    __slots__ = ("_burnish_mixed", "_burnish_number", "_burnish_peer")

    def __init__(self, peer: Any, number: int, mixed: _Kinds = ()) -> None:
        object.__setattr__(self, "_burnish_peer", peer)
        object.__setattr__(self, "_burnish_number", number)
        object.__setattr__(self, "_burnish_mixed", mixed)

    def __getattr__(self, name: str) -> Any:
        return _ask_operation(self, name, "getattr", name)

    def __setattr__(self, name: str, value: Any) -> None:
        peer_of(self).ask("setattr", self, name, value)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the object on the other side."""
        return _ask_operation(self, "__call__", "call", list(arguments), named)

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, Remote):
            return NotImplemented
        ask = peer_of(self).ask
        # An object that equals a stranger equals everything, so its equality proves nothing.
        return ask("eq", self, other) is True and ask("eq_stranger", self, other) is False

    def __ne__(self, other: object) -> Any:
        return peer_of(self).ask("ne", self, other) if isinstance(other, Remote) else NotImplemented

    def __hash__(self) -> int:
        return int(peer_of(self).ask("hash", self))

    def __bool__(self) -> bool:
        return _ask_operation(self, "__bool__", "bool") is True

    def __str__(self) -> str:
        return str(_ask_operation(self, "__str__", "str"))

    def __repr__(self) -> str:
        return str(_ask_operation(self, "__repr__", "repr"))

    def __format__(self, form: str) -> str:
        return str(_ask_operation(self, "__format__", "format", form))

    def __contains__(self, item: object) -> bool:
        return _ask_contains(self, item)

    def __copy__(self) -> Any:
        return _ask_operation(self, "copy", "copy")

    def __deepcopy__(self, memory: Any) -> Any:
        return _ask_operation(self, "copy", "deepcopy")

    def __instancecheck__(self, instance: object) -> bool:
        return (
            isinstance(instance, Remote) and peer_of(self).ask("isinstance", instance, self) is True
        )

    def __subclasscheck__(self, kind: object) -> bool:
        return isinstance(kind, Remote) and peer_of(self).ask("issubclass", kind, self) is True


def peer_of(remote: Remote) -> Any:
    """Return the connection that a proxy belongs to."""
    return object.__getattribute__(remote, "_burnish_peer")


def number_of(remote: Remote) -> int:
    """Return the number of the object on the other side."""
    return object.__getattribute__(remote, "_burnish_number")


def _mixed_kinds(remote: Remote) -> _Kinds:
    return object.__getattribute__(remote, "_burnish_mixed")


def _ask_operation(remote: Remote, name: str, operation: str, *operands: Any) -> Any:
    """Ask for an operation on one object; of a mixed result, refuse what a plain value could also answer.

    Raises:
        Doubt: If the answer is plain and a plain value in place of the object has `name` too.
    """
    peer, kinds = peer_of(remote), _mixed_kinds(remote)
    if not peer.guarded or not _plain_could(kinds, name):
        return peer.ask(operation, remote, *operands)
    why = f"{operation} of a result of an object of the code and a plain value"
    try:
        answer = peer.ask(operation, remote, *operands)
    except Exception:  # noqa: BLE001 - what it raises says no more than what it returns
        raise _raise_doubt(peer, why) from None
    if isinstance(answer, Remote):
        return Remote(peer, number_of(answer), None)
    raise _raise_doubt(peer, why)


def _plain_could(kinds: _Kinds, name: str) -> bool:
    """Return whether a plain value of one of the kinds, or a result of it, has an attribute of that name too."""
    if kinds is None:
        return True
    if name == "__call__":  # types have it, their values do not
        return False
    return any(name == "__bool__" or hasattr(kind, name) for kind in kinds)


def _raise_doubt(peer: Any, why: str) -> Doubt:
    peer.doubt = peer.doubt or f"{why}: compare plain data, or objects of the code with each other"
    return Doubt(peer.doubt)


def _kinds_of(values: tuple[Any, ...]) -> _Kinds:
    """Return the kinds of plain values among operands and of their results; () without plain values."""
    found: tuple[type, ...] = ()
    for value in values:
        kinds = _mixed_kinds(value) if isinstance(value, Remote) else _kind_of(value)
        if kinds is None:
            return None
        found += kinds
    return found


def _kind_of(value: Any) -> _Kinds:
    for kinds in (_NUMBERS, _CONTAINERS, _TIMES):
        if isinstance(value, kinds):
            return kinds
    return (type(None),) if value is None else None


def _ask_contains(remote: Remote, item: object) -> bool:
    """Return whether an object of the code holds a value: it says so, and its members include the value.

    Members are fetched by value before the code learns which value is looked for.
    """
    peer = peer_of(remote)
    if not peer.guarded or (isinstance(item, Remote) and _mixed_kinds(remote) == ()):
        return peer.ask("contains", remote, item) is True
    own = peer.ask("has_contains", remote) is True
    try:
        through: Any = iter(remote)  # type: ignore[call-overload] - Remote gets its __iter__ below
        members = list(itertools.islice(through, _MOST_MEMBERS + 1))
    except TypeError:
        raise _raise_doubt(peer, "`in` an object of the code that has no members") from None
    found = any(member is item or member == item for member in members[:_MOST_MEMBERS])
    if len(members) > _MOST_MEMBERS or _mixed_kinds(remote) != ():
        raise _raise_doubt(peer, "`in` an object of the code")
    if own and peer.ask("contains", remote, item) is not found:
        raise _raise_doubt(peer, "an object of the code that contradicts its own members")
    return found


def _unary_operation(name: str) -> Callable[..., Any]:
    def method(self: Remote, *operands: Any) -> Any:
        return _ask_operation(self, f"__{name}__", name, *operands)

    return method


def _binary_operation(operation: str, *, reflected: bool = False) -> Callable[..., Any]:
    def method(self: Remote, *others: Any) -> Any:
        peer, kinds = peer_of(self), _kinds_of((self, *others))
        operands = (*others, self) if reflected else (self, *others)
        answer = peer.ask(operation, *operands)
        if not peer.guarded or kinds == ():
            return answer
        if isinstance(answer, Remote):
            return Remote(peer, number_of(answer), kinds)
        raise _raise_doubt(peer, f"{operation} of an object of the code and a plain value")

    return method


def _ordering_operation(operation: str) -> Callable[..., Any]:
    def method(self: Remote, other: Any) -> Any:
        if not isinstance(other, Remote):
            return NotImplemented
        return peer_of(self).ask(operation, self, other)

    return method


class _Stranger:
    """An object that no object of the code has a reason to equal."""


def _equals_stranger(one: Any, other: Any) -> bool:
    try:
        return bool(one == _Stranger()) or bool(other == _Stranger())
    except Exception:  # noqa: BLE001 - a comparison that asks the stranger for something found a difference
        return False


_loop: Any = None


def _run_to_its_end(coroutine: Any) -> Any:
    """Run a coroutine in this process's single event loop, so that locks and queues of the code keep working."""
    global _loop
    import asyncio

    _loop = _loop or asyncio.new_event_loop()
    return _loop.run_until_complete(coroutine)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "getattr": getattr, "setattr": setattr, "call": lambda it, given, named: it(*given, **named), "eq": operator.eq,
    "ne": operator.ne, "eq_stranger": _equals_stranger, "hash": hash, "bool": bool, "str": str, "repr": repr,
    "format": format, "isinstance": isinstance, "issubclass": issubclass, "len": len, "iter": iter, "next": next,
    "reversed": reversed, "getitem": operator.getitem, "setitem": operator.setitem, "delitem": operator.delitem,
    "contains": operator.contains, "has_contains": lambda it: hasattr(type(it), "__contains__"), "abs": abs,
    "neg": operator.neg, "pos": operator.pos, "invert": operator.invert, "float": float, "int": int,
    "complex": complex, "index": operator.index, "round": round, "trunc": math.trunc, "floor": math.floor,
    "ceil": math.ceil, "copy": copy.copy, "deepcopy": copy.deepcopy, "enter": lambda it: it.__enter__(),
    "exit": lambda it, *_: bool(it.__exit__(None, None, None)), "lt": operator.lt, "le": operator.le,
    "gt": operator.gt, "ge": operator.ge, "dir": dir, "divmod": divmod, "import": importlib.import_module,
    "await": _run_to_its_end,
}  # fmt: skip
"""Operations that the other side can be asked for."""

_ARITHMETIC = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor", "lshift", "rshift",
)  # fmt: skip
for _name in (
    "len", "iter", "next", "reversed", "getitem", "setitem", "delitem", "abs", "neg", "pos", "invert", "float", "int",
    "complex", "index", "round", "trunc", "floor", "ceil", "enter", "exit",
):  # fmt: skip
    setattr(Remote, f"__{_name}__", _unary_operation(_name))
for _name in ("lt", "le", "gt", "ge"):
    setattr(Remote, f"__{_name}__", _ordering_operation(_name))
for _name in _ARITHMETIC:
    OPERATIONS[_name] = pow if _name == "pow" else getattr(operator, _name)
    OPERATIONS[f"i{_name}"] = getattr(operator, f"i{_name.strip('_')}")
    setattr(Remote, f"__i{_name.strip('_')}__", _binary_operation(f"i{_name}"))
for _name in (*_ARITHMETIC, "divmod"):
    setattr(Remote, f"__{_name.strip('_')}__", _binary_operation(_name))
    setattr(Remote, f"__r{_name.strip('_')}__", _binary_operation(_name, reflected=True))


def _undecided_operation(name: str) -> Callable[..., Any]:
    def method(self: Remote, *_: object) -> Any:
        raise _raise_doubt(peer_of(self), f"{name} of an object of the code")

    return method


for _name in ("__await__", "__aiter__", "__anext__", "__aenter__", "__aexit__"):
    setattr(Remote, _name, _undecided_operation(_name))
