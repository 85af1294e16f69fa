"""Define a table of private names, and probe its names."""

from __future__ import annotations

import dis
import functools
import importlib
import inspect
import types
from typing import Any

import msgspec

_ABSENT = object()


class PrivateName(msgspec.Struct, frozen=True, kw_only=True):
    """A private name of a library that burnish needs.

    Attributes:
        module: Module that holds the name.
        path: Dotted path in the module: a function, or a class and its attribute. Empty for the
            module itself.
        needed_for: The use of the name in burnish.
        without_it: The effect if it is missing.
        of_instance: Whether the attribute is set by the class's own methods, and not on the class.
        value: The constant that the name must hold; None accepts everything.
    """

    module: str
    path: str = ""
    needed_for: str
    without_it: str
    of_instance: bool = False
    value: str | None = None

    def is_present(self) -> bool:
        """Import the module and return whether the name is there."""
        try:
            found: Any = importlib.import_module(self.module)
        except ImportError:
            return False
        *parents, last = self.path.split(".") if self.path else [""]
        for part in parents:
            found = getattr(found, part, _ABSENT)
        if found is _ABSENT:
            return False
        if not last:
            return True
        if self.of_instance:
            return any(_sets_attribute(code, last) for code in _codes_of(found))
        there = getattr(found, last, _ABSENT)
        return there is not _ABSENT and self.value in (None, there)

    def __str__(self) -> str:
        return f"{self.module}.{self.path}" if self.path else self.module


class LibraryTable(msgspec.Struct, frozen=True, kw_only=True):
    """The private names of one library.

    Attributes:
        distribution: Name on PyPI.
        tried_with: Versions that the tests of burnish ran with.
        names: The names.
    """

    distribution: str
    tried_with: str
    names: tuple[PrivateName, ...]

    def installed_version(self) -> str | None:
        """Return the installed version; None if the library is not installed."""
        from importlib import metadata  # slow to import, and agents do not need it

        try:
            return metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return None

    def probe(self) -> list[PrivateName]:
        """Return the names that the installed version lacks; imports the library."""
        return [name for name in self.names if not name.is_present()]


def _sets_attribute(code: types.CodeType, name: str) -> bool:
    """Return whether compiled code sets an attribute of this name."""
    return name in code.co_names and any(
        one.opname == "STORE_ATTR" and one.argval == name for one in dis.get_instructions(code)
    )


@functools.lru_cache(maxsize=32)
def _codes_of(kind: type) -> list[types.CodeType]:
    """Return the compiled methods of a class and its bases, below decorators; their source need not be read."""
    methods = (each for base in kind.__mro__ for each in vars(base).values())
    plain = (inspect.unwrap(each) for each in methods if callable(each))
    found = (getattr(each, "__code__", None) for each in plain)
    return [code for code in found if isinstance(code, types.CodeType)]
