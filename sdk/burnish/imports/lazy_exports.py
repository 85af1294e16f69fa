"""Export names of a package whose modules load at their first use.

    __getattr__, __dir__ = lazy_exports(__name__, {"train": "burnish_trainer.run"})

`lazy_exports` is the entry.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any


def lazy_exports(
    package: str,
    homes: Mapping[str, str],
    *,
    always: Collection[str] = (),
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package.

    Args:
        package: Name of the package, its `__name__`.
        homes: The module that defines each name.
        always: Names that the package defines itself.

    A name whose module needs a package that is not installed raises MissingExtra, which names the extra.
    """

    def get_attribute(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        try:
            found = getattr(import_module(home), name)
        except ModuleNotFoundError as problem:
            from burnish.imports.extras import (
                explain_missing_module,  # reads metadata: slow to import
            )

            missing = explain_missing_module(problem)
            if missing is None:
                raise
            raise missing from problem
        setattr(sys.modules[package], name, found)
        return found

    def list_names() -> list[str]:
        return sorted({*homes, *always})

    return get_attribute, list_names
