"""Remote calls between tests in one sandbox and code in another: plain values are copied, all else is called remotely.

`Peer` is one end of the connection. values.py defines plain data, and remote_objects.py the
proxies. This file runs inside sandboxes and imports only the standard library and its neighbours.
"""

from __future__ import annotations

import builtins
import inspect
import json
import os
from typing import Any

from burnish_exporters.verify.sandbox.remote_objects import (
    OPERATIONS,
    Doubt,
    Remote,
    number_of,
    peer_of,
)
from burnish_exporters.verify.sandbox.values import Wire, decode_plain, encode_plain, take_changes

_MOST_BYTES = 32 << 20  # limit of one message
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
    "eq_stranger",
    "has_contains",
    "hash",
)


class Ended(BaseException):
    """The other side exited or broke the protocol. A BaseException, so that tests do not catch it by mistake."""


class Peer:
    """One end of the connection.

    Args:
        read_from: Descriptor that the other side writes to.
        write_to: Descriptor that the other side reads from.
        guarded: Whether the other side is untrusted: it may only call our objects and read their
            public attributes, and its own objects decide nothing by themselves.
    """

    def __init__(self, read_from: int, write_to: int, *, guarded: bool) -> None:
        self.guarded, self.ended = guarded, False
        self.waiting = False  # for an answer of the other side
        self.doubt = ""  # reason why the tests cannot decide
        self._in = os.fdopen(read_from, "rb")
        self._out = os.fdopen(write_to, "wb")
        self._mine: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._theirs: dict[int, Any] = {}

    def ask(self, operation: str, *operands: Any) -> Any:
        """Ask the other side for an operation and return the answer.

        Raises:
            Ended: If there is no answer.
            BaseException: The exception that the other side raised, translated.
        """
        self._send(["ask", operation, [self.encode(operand) for operand in operands]])
        while True:
            message = self._receive()
            if message[0] == "ask":
                self._answer(message)
            elif message[0] == "value":
                if operation == "call":
                    self._update(operands, message[2])
                return self.decode(message[1])
            else:
                raise self._error(message)

    def serve(self) -> None:
        """Answer requests until the other side is gone."""
        while True:
            try:
                self._answer(self._receive())
            except Ended:
                return

    def encode(self, value: Any) -> Wire:
        """Encode a value for transport."""
        if isinstance(value, Remote) and peer_of(value) is self:
            return ["yours", number_of(value)]
        plain = encode_plain(value, self.encode)
        if plain is not None:
            return plain
        if isinstance(value, type):
            return self._class(value)
        awaited = inspect.iscoroutine(value) and not self.guarded
        return ["awaited" if awaited else "mine", self._number(value)]

    def decode(self, wire: Wire) -> Any:
        """Decode a transported value.

        Raises:
            Ended: If it cannot be decoded.
        """
        try:
            if wire[0] == "type":
                return _TYPES[wire[1]]
            if wire[0] == "mine":
                return self.remote(int(wire[1]))
            if wire[0] == "awaited" and self.guarded:
                return _stand_for_coroutine(self, self.remote(int(wire[1])))
            if wire[0] == "yours":
                return self.own(int(wire[1]))
            if wire[0] == "error":
                return self.mirrored(int(wire[1]), wire[2], wire[3])
            return decode_plain(wire, self.decode)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as problem:
            self.ended = True
            raise Ended(f"the program sent an invalid value: {problem}") from None
        except (ImportError, RecursionError) as problem:
            self.ended = True
            raise Ended(f"the program sent a value that cannot be decoded: {problem}") from None

    def remote(self, number: int) -> Any:
        """Return the proxy of an object of the other side; the same number always gives the same proxy."""
        if number not in self._theirs:
            self._theirs[number] = Remote(self, number)
        return self._theirs[number]

    def own(self, number: int) -> Any:
        """Return our object that the other side names by number."""
        return self._mine[number]

    def mirrored(self, number: int, name: str, base: str) -> type:
        """Return our copy of an exception class of the other side."""
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
        self._mine.setdefault(number, value)  # kept alive, so that its id is not reused
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
            return Ended("the program raised something that is not an exception")
        try:
            error = kind(*arguments)
        except Exception:  # noqa: BLE001 - arguments that the class does not take
            error = Exception(f"{kind.__name__}: {arguments}")
        error.__dict__["burnish_remote"] = self.remote(int(message[3]))
        return error

    def _refuse_the_forbidden(self, message: Wire, operands: list[Any]) -> None:
        if self.guarded and not self._allowed(message, operands):
            raise PermissionError(f"{message[1]} on an object of the tests")

    def _allowed(self, message: Wire, operands: list[Any]) -> bool:
        """Return whether the code under test may do this: calls and public attributes of objects that it got."""
        if not message[2] or message[2][0][0] != "yours":
            return False
        if message[1] == "getattr":
            sealed = type(operands[0]).__name__ in _SEALED
            return not sealed and not str(operands[1]).startswith("_")
        return message[1] in _HARMLESS

    def _update(self, operands: tuple[Any, ...], changed: Wire) -> None:
        """Copy changes of the other side into our lists, sets and mappings, because it worked on copies."""
        for operand, wire in zip(operands, changed, strict=True):
            if wire is None:
                continue
            new = self.decode(wire)
            for old, fresh in zip(
                [operand, *_list_parts(operand)], [new, *_list_parts(new)], strict=False
            ):
                take_changes(old, fresh)

    def _send(self, message: Wire) -> None:
        line = json.dumps(message).encode() + b"\n"
        if self.guarded and len(line) >= _MOST_BYTES:  # the other side would read only a part of it
            self.doubt = self.doubt or "a value of the tests is too large to be handed to the code"
            raise Doubt(self.doubt)
        try:
            self._out.write(line)
            self._out.flush()
        except OSError:
            self.ended = True
            raise Ended("the program ended") from None

    def _receive(self) -> Wire:
        self.waiting = True
        line = self._in.readline(_MOST_BYTES)
        self.waiting = False
        try:
            message = json.loads(line)
            if len(message) >= 3 and message[0] in ("ask", "value", "raised"):
                return message
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
        self.ended = True
        raise Ended("the program broke the protocol" if line else "the program ended")


async def _stand_for_coroutine(peer: Peer, coroutine: Any) -> Any:
    """Await a coroutine of the other side; it runs there, whole, when it is awaited here."""
    return peer.ask("await", coroutine)


_TYPES = {name: kind for name, kind in vars(builtins).items() if isinstance(kind, type)}


def _list_parts(value: Any) -> list[Any]:
    """Return the values of a list or mapping of arguments, in order."""
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _of_error(error: BaseException, name: str) -> Any:
    """Read attributes of an exception from the other side."""
    remote = error.__dict__.get("burnish_remote")
    if remote is None or name.startswith("__"):
        raise AttributeError(name)
    return getattr(remote, name)
