"""How tests in one sandbox use code in another: values are copied, everything else is called from afar.

Knows: the messages between the two, and stand-ins for what lives on the other side. Does not know: any test.

This text runs inside sandboxes and imports nothing but the standard library. Plain data (numbers, texts, bytes, lists,
tuples, sets, mappings) crosses by value, so an answer is what it says and nothing else: an object of the other side
equals no plain value and orders with none, whatever its own methods claim.
"""

from __future__ import annotations

import builtins
import json
import operator
import os
from collections.abc import Callable
from typing import Any

Wire = Any
_SEALED = (
    "function",
    "builtin_function_or_method",
    "method",
    "generator",
    "module",
    "frame",
    "coroutine",
)


_HARMLESS = (
    "call",
    "len",
    "iter",
    "next",
    "getitem",
    "contains",
    "bool",
    "str",
    "repr",
    "eq",
    "hash",
)


class Ended(BaseException):
    """The other side is gone, or speaks nonsense; no test can catch it by mistake."""


class Peer:
    """One end of the line.

    Args:
        read_from: Descriptor that the other side writes to.
        write_to: Descriptor that the other side reads from.
        guarded: Whether the other side may do no more with our objects than call them and read public attributes.
    """

    def __init__(self, read_from: int, write_to: int, *, guarded: bool) -> None:
        self.guarded, self.ended = guarded, False
        self._in = os.fdopen(read_from, "rb")
        self._out = os.fdopen(write_to, "wb")
        self._mine: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._theirs: dict[int, Any] = {}

    def ask(self, operation: str, *operands: Any) -> Any:
        """Have the other side do something.

        Raises:
            Ended: If there is no answer.
            BaseException: What it raised, in our terms.
        """
        self._send(["ask", operation, [self.encode(operand) for operand in operands]])
        while True:
            message = self._receive()
            if message[0] == "ask":
                self._answer(message)
            elif message[0] == "value":
                self._update(operands, message[2])
                return self.decode(message[1])
            else:
                raise self._error(message)

    def serve(self) -> None:
        """Do what the other side asks until it is gone."""
        while True:
            try:
                self._answer(self._receive())
            except Ended:
                return

    def encode(self, value: Any) -> Wire:
        """A value as it travels."""
        if value is None or value is True or value is False:
            return ["v", value]
        for kind, tag, form in _PLAIN:
            if isinstance(value, kind) and not _is_enum(value):
                return [tag, form(self, value)]
        if isinstance(value, Remote) and _peer_of(value) is self:
            return ["yours", _number_of(value)]
        if isinstance(value, type):
            return self._class(value)
        return ["mine", self._number(value)]

    def decode(self, wire: Wire) -> Any:
        """A value that has travelled.

        Raises:
            Ended: If it is none.
        """
        try:
            return _READ[wire[0]](self, wire)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as problem:
            self.ended = True
            raise Ended(f"no value: {problem}") from None

    def remote(self, number: int) -> Any:
        """The stand-in of an object of the other side; always the same one."""
        if number not in self._theirs:
            self._theirs[number] = Remote(self, number)
        return self._theirs[number]

    def own(self, number: int) -> Any:
        """An object of ours that the other side names."""
        return self._mine[number]

    def mirrored(self, number: int, name: str, base: str) -> type:
        """Our copy of an exception class of the other side."""
        if number not in self._theirs:
            parent = _TYPES.get(base, Exception)
            found = parent if issubclass(parent, BaseException) else Exception
            self._theirs[number] = type(str(name), (found,), {"__getattr__": _of_error})
        return self._theirs[number]

    def _class(self, value: type) -> Wire:
        if value.__module__ == "builtins":
            return ["type", value.__name__]
        if issubclass(value, BaseException):
            base = next(kind for kind in value.__mro__ if kind.__module__ == "builtins")
            return ["error", self._number(value), value.__name__, base.__name__]
        return ["mine", self._number(value)]

    def _number(self, value: Any) -> int:
        number = self._numbers.setdefault(id(value), len(self._mine) + 1)
        self._mine.setdefault(number, value)  # kept, so that its id stays its own
        return number

    def _answer(self, message: Wire) -> None:
        try:
            operands = [self.decode(wire) for wire in message[2]]
            self._refuse_the_forbidden(message, operands)
            before = [self.encode(operand) for operand in operands]
            value = OPERATIONS[message[1]](*operands)
            after = [self.encode(operand) for operand in operands]
            changed = [new if new != old else None for new, old in zip(after, before, strict=True)]
            self._send(["value", self.encode(value), changed])
        except Ended:
            raise
        except BaseException as problem:  # noqa: BLE001 - sys.exit() of the code under test included
            self._send(self._told(problem))

    def _told(self, problem: BaseException) -> Wire:
        try:
            arguments = [self.encode(a) for a in problem.args]
            return ["raised", self._class(type(problem)), arguments, self._number(problem)]
        except BaseException as again:  # noqa: BLE001 - an exception whose parts raise
            return ["raised", ["type", "Exception"], [["v", type(again).__name__]], 0]

    def _error(self, message: Wire) -> BaseException:
        kind, arguments = self.decode(message[1]), [self.decode(wire) for wire in message[2]]
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            return Ended("raised what is no exception")
        try:
            error = kind(*arguments)
        except TypeError:
            error = Exception(f"{kind.__name__}: {arguments}")
        error.__dict__["burnish_remote"] = self.remote(int(message[3]))
        return error

    def _refuse_the_forbidden(self, message: Wire, operands: list[Any]) -> None:
        if self.guarded and not self._allowed(message, operands):
            raise PermissionError(f"{message[1]} on an object of the tests")

    def _allowed(self, message: Wire, operands: list[Any]) -> bool:
        """Whether code under test may do this: calls and public attributes of what it was given."""
        if not message[2] or message[2][0][0] != "yours":
            return False
        if message[1] == "getattr":
            sealed = type(operands[0]).__name__ in _SEALED
            return not sealed and not str(operands[1]).startswith("_")
        return message[1] in _HARMLESS

    def _update(self, operands: tuple[Any, ...], changed: Wire) -> None:
        """Our lists, sets and mappings as the other side left them: it worked on copies."""
        for operand, wire in zip(operands, changed, strict=True):
            if wire is None:
                continue
            new = self.decode(wire)
            for old, fresh in zip([operand, *_parts(operand)], [new, *_parts(new)], strict=False):
                if type(old) is list and isinstance(fresh, list):
                    old[:] = fresh
                elif isinstance(old, (dict, set)) and type(fresh) is type(old):
                    old.clear()
                    old.update(fresh)

    def _send(self, message: Wire) -> None:
        try:
            self._out.write(json.dumps(message).encode() + b"\n")
            self._out.flush()
        except OSError:
            self.ended = True
            raise Ended("the program ended") from None

    def _receive(self) -> Wire:
        line = self._in.readline()
        try:
            message = json.loads(line)
            if len(message) >= 3 and message[0] in ("ask", "value", "raised"):
                return message
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
        self.ended = True
        raise Ended("the program spoke nonsense" if line else "the program ended")


class Remote:
    """Stands for an object of the other side."""

    __slots__ = ("_burnish_number", "_burnish_peer")

    def __init__(self, peer: Peer, number: int) -> None:
        object.__setattr__(self, "_burnish_peer", peer)
        object.__setattr__(self, "_burnish_number", number)

    def __getattr__(self, name: str) -> Any:
        return _peer_of(self).ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _peer_of(self).ask("setattr", self, name, value)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it there."""
        peer, many = _peer_of(self), list(arguments)
        return peer.ask("call", self, many, named)

    def __eq__(self, other: object) -> Any:
        return (
            _peer_of(self).ask("eq", self, other) if isinstance(other, Remote) else NotImplemented
        )

    def __ne__(self, other: object) -> Any:
        return (
            _peer_of(self).ask("ne", self, other) if isinstance(other, Remote) else NotImplemented
        )

    def __hash__(self) -> int:
        return int(_peer_of(self).ask("hash", self))

    def __bool__(self) -> bool:
        return _peer_of(self).ask("bool", self) is True

    def __str__(self) -> str:
        return str(_peer_of(self).ask("str", self))

    def __repr__(self) -> str:
        return str(_peer_of(self).ask("repr", self))

    def __instancecheck__(self, instance: object) -> bool:
        return (
            isinstance(instance, Remote)
            and _peer_of(self).ask("isinstance", instance, self) is True
        )


def _far(operation: str, *, ordered: bool = False) -> Callable[..., Any]:
    def method(self: Remote, *operands: Any) -> Any:
        if ordered and not all(isinstance(operand, Remote) for operand in operands):
            return NotImplemented
        return _peer_of(self).ask(operation, self, *operands)

    return method


def _reflected(operation: str) -> Callable[..., Any]:
    def method(self: Remote, other: Any) -> Any:
        return _peer_of(self).ask(operation, other, self)

    return method


OPERATIONS: dict[str, Callable[..., Any]] = {
    "getattr": getattr, "setattr": setattr, "call": lambda it, given, named: it(*given, **named), "eq": operator.eq,
    "ne": operator.ne, "hash": hash, "bool": bool, "str": str, "repr": repr, "isinstance": isinstance, "len": len,
    "iter": iter, "next": next, "getitem": operator.getitem, "setitem": operator.setitem, "delitem": operator.delitem,
    "contains": operator.contains, "abs": abs, "neg": operator.neg, "float": float, "int": int,
    "enter": lambda it: it.__enter__(), "exit": lambda it, *_: bool(it.__exit__(None, None, None)),
    "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "dir": dir,
    "import": __import__("importlib").import_module,
}  # fmt: skip
"""What can be asked of the other side."""

for _name in (
    "len",
    "iter",
    "next",
    "getitem",
    "setitem",
    "delitem",
    "contains",
    "abs",
    "neg",
    "float",
    "int",
    "enter",
    "exit",
):
    setattr(Remote, f"__{_name}__", _far(_name))
for _name in ("lt", "le", "gt", "ge"):
    setattr(Remote, f"__{_name}__", _far(_name, ordered=True))
for _name in (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and_",
    "or_",
    "xor",
):
    OPERATIONS[_name] = getattr(operator, _name)
    setattr(Remote, f"__{_name.strip('_')}__", _far(_name))
    setattr(Remote, f"__r{_name.strip('_')}__", _reflected(_name))


def _all(peer: Peer, values: Any) -> list[Wire]:
    return [peer.encode(value) for value in values]


_TYPES = {name: kind for name, kind in vars(builtins).items() if isinstance(kind, type)}
_PLAIN: tuple[tuple[type, str, Callable[[Peer, Any], Wire]], ...] = (
    (int, "i", lambda peer, it: hex(int.__index__(it))),
    (float, "f", lambda peer, it: float.__float__(it)),
    (str, "s", lambda peer, it: str.__str__(it)),
    (bytes, "b", lambda peer, it: bytes.hex(it)),
    (complex, "c", lambda peer, it: [it.real, it.imag]),
    (list, "l", lambda peer, it: _all(peer, list.__iter__(it))),
    (tuple, "t", lambda peer, it: _all(peer, tuple.__iter__(it))),
    (set, "e", lambda peer, it: _all(peer, set.__iter__(it))),
    (frozenset, "z", lambda peer, it: _all(peer, frozenset.__iter__(it))),
    (dict, "d", lambda peer, it: [_all(peer, pair) for pair in dict.items(it)]),
)
_READ: dict[str, Callable[[Peer, Wire], Any]] = {
    "v": lambda peer, wire: {None: None, True: True, False: False}[wire[1]],
    "i": lambda peer, wire: int(wire[1], 16),
    "f": lambda peer, wire: float(wire[1]),
    "s": lambda peer, wire: str(wire[1]),
    "b": lambda peer, wire: bytes.fromhex(wire[1]),
    "c": lambda peer, wire: complex(*wire[1]),
    "l": lambda peer, wire: [peer.decode(w) for w in wire[1]],
    "t": lambda peer, wire: tuple(peer.decode(w) for w in wire[1]),
    "e": lambda peer, wire: {peer.decode(w) for w in wire[1]},
    "z": lambda peer, wire: frozenset(peer.decode(w) for w in wire[1]),
    "d": lambda peer, wire: {peer.decode(k): peer.decode(v) for k, v in wire[1]},
    "type": lambda peer, wire: _TYPES[wire[1]],
    "mine": lambda peer, wire: peer.remote(int(wire[1])),
    "yours": lambda peer, wire: peer.own(int(wire[1])),
    "error": lambda peer, wire: peer.mirrored(int(wire[1]), wire[2], wire[3]),
}  # fmt: skip


def _parts(value: Any) -> list[Any]:
    """What a list or mapping of arguments holds, in order."""
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _is_enum(value: Any) -> bool:
    return any(kind.__module__ == "enum" for kind in type(value).__mro__)


def _peer_of(remote: Remote) -> Peer:
    return object.__getattribute__(remote, "_burnish_peer")


def _number_of(remote: Remote) -> int:
    return object.__getattribute__(remote, "_burnish_number")


def _of_error(error: BaseException, name: str) -> Any:
    """Attributes of an exception of the other side are read from there."""
    remote = error.__dict__.get("burnish_remote")
    if remote is None or name.startswith("__"):
        raise AttributeError(name)
    return getattr(remote, name)
