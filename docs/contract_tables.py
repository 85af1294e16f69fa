"""The tables of docs/contracts.md that follow from the code: arguments of verifiers, task() and outcome().

    python docs/contract_tables.py          # print what differs
    python docs/contract_tables.py --write  # write the tables into the page

tests/project/test_contracts.py compares names and defaults of the page with the code.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("contracts.md")
_ARGUMENT = re.compile(r"    (\w+)(?: \([^)]*\))?: (.*)")


def contracts() -> dict[str, Callable[..., Any]]:
    """Return what the page describes, by the name of its table."""
    import burnish
    from burnish_exporters.verify import registry

    def factory(name: str) -> Callable[..., Any]:
        return registry._COMPOSED.get(name) or registry._find_factory(name)  # noqa: SLF001

    verifiers = {name: factory(name) for name in registry.known_verifiers()}
    own = {"burnish.task": burnish.task, "burnish.outcome": burnish.outcome}
    return own | {"burnish.wrap": burnish.wrap, "burnish.route": burnish.route} | verifiers


def arguments_of(function: Callable[..., Any]) -> list[tuple[str, str]]:
    """Return name and default of each argument, as the page shows them."""
    return [
        (f"`{_starred(one)}`", _shown(one))
        for one in inspect.signature(function).parameters.values()
        if one.name != "self"
    ]


def table_of(function: Callable[..., Any]) -> str:
    """Return the table of one function in Markdown."""
    told = _meanings(inspect.getdoc(function) or "")
    rows = [
        f"| {name} | {default} | {told.get(name.strip('`*'), '')} |"
        for name, default in arguments_of(function)
    ]
    return "\n".join(["| argument | default | meaning |", "|---|---|---|", *rows])


def with_tables(text: str) -> str:
    """Return the page with every table made again."""

    def made(found: re.Match[str]) -> str:
        return f"<!-- table: {found[1]} -->\n{table_of(contracts()[found[1]])}\n<!-- end -->"

    return re.sub(r"<!-- table: (\S+) -->\n.*?<!-- end -->", made, text, flags=re.DOTALL)


def _starred(one: inspect.Parameter) -> str:
    return "*" + one.name if one.kind is one.VAR_POSITIONAL else one.name


def _shown(one: inspect.Parameter) -> str:
    if one.kind is one.VAR_POSITIONAL:
        return "any number"
    return "required" if one.default is one.empty else f"`{one.default!r}`"


def _meanings(doc: str) -> dict[str, str]:
    """Return what a docstring says of each argument, on one line."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", doc, re.DOTALL | re.MULTILINE)
    found: dict[str, str] = {}
    name = ""
    for line in section[1].splitlines() if section else ():
        begun = _ARGUMENT.fullmatch(line)
        if begun and not line.startswith("     "):
            name, found[begun[1]] = begun[1], begun[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return {name: text.replace("|", "\\|") for name, text in found.items()}


if __name__ == "__main__":
    page = PAGE.read_text()
    if "--write" in sys.argv:
        PAGE.write_text(with_tables(page))
    elif with_tables(page) != page:
        raise SystemExit("docs/contracts.md is not what the code says: run with --write")
