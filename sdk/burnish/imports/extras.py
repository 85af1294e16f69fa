"""Import optional packages, with an error that names the extra to install.

`import_extra` is the entry. The extras come from the metadata of the distribution, so pyproject.toml
is their only list.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from functools import cache
from importlib import metadata
from typing import Any

from burnish.errors import MissingExtra

_DISTRIBUTION = "burnish"
# Distributions whose import name differs.
_IMPORT_NAMES = {
    "grpcio": "grpc",
    "opentelemetry_exporter_otlp_proto_grpc": "opentelemetry.exporter.otlp.proto.grpc",
}
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]{1,100}).{0,200}?; extra == ['\"]([a-z-]{1,40})['\"]$")


def import_extra(module: str) -> Any:
    """Import a module of an optional package.

    Args:
        module: Name of the module, such as "pyarrow.parquet".

    Raises:
        MissingExtra: If the package is not installed; names the extra to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as problem:
        missing = explain_missing_module(problem)
        if missing is None:
            raise
        raise missing from problem


def explain_missing_module(problem: ModuleNotFoundError) -> MissingExtra | None:
    """Return the error that names the extra to install, or None if no extra has the module."""
    extra = find_extra(problem.name or "")
    if extra is None:
        return None
    return MissingExtra(
        f"the package {problem.name} is not installed",
        f"the packages of the extra {extra!r}",
        f"pip install '{_DISTRIBUTION}[{extra}]'",
    )


def find_extra(module: str) -> str | None:
    """Return the name of the extra that installs a module, or None."""
    extras = list_extras()
    parts = module.split(".")
    names = [".".join(parts[: count + 1]) for count in range(len(parts))]
    return next((extras[name] for name in reversed(names) if name in extras), None)


@cache
def list_extras() -> dict[str, str]:
    """Return the smallest extra that installs each optional package, by import name."""
    try:
        requirements = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        requirements = []
    pairs = [match.groups() for each in requirements if (match := _REQUIREMENT.match(each))]
    sizes = Counter(extra for _, extra in pairs)
    found: dict[str, str] = {}
    for package, extra in pairs:
        name = package.lower().replace("-", "_").replace(".", "_")
        name = _IMPORT_NAMES.get(name, name)
        known = found.get(name, extra)
        found[name] = min(extra, known, key=lambda each: (sizes[each], each))
    return found
