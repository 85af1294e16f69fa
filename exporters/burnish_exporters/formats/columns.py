"""Define the kinds of a rendered row's columns, so that they reach Arrow unchanged.

Values that differ in shape from row to row (messages, tools, arguments) are JSON features: Arrow
would otherwise give each of them every key of all the others, with null.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from burnish.errors import ExportError
from burnish.protocols import Format
from burnish.records import Json

_KINDS = {
    "messages": "list of json", "prompt": "list of json", "completion": "list of json",
    "chosen": "list of json", "rejected": "list of json", "conversations": "list of json",
    "system": "text", "label": "bool", "prompt_ids": "list of int", "response_ids": "list of int",
    "logprobs": "list of float", "reward": "float", "group": "text", "run": "text", "step": "int",
    "state_key": "text", "policy": "text",
}  # fmt: skip
_PLAIN = {"text": "string", "bool": "bool", "int": "int64", "float": "float64"}


def require(row: dict[str, Json], names: Iterable[str]) -> None:
    """Check that a rendered row has its columns.

    Raises:
        ExportError: If one is missing or None.
    """
    missing = [name for name in names if row.get(name) is None]
    if missing:
        raise ExportError(f"a row without {', '.join(missing)}", f"columns {', '.join(names)}")


def features_of(format: Format) -> Any:  # noqa: A002
    """Return the features of a format's columns before any row is rendered; JSON is the default.

    A format sets other kinds in `kinds`: text, bool, int, float, json, or "list of" one of them.
    """
    import datasets

    kinds = {**_KINDS, **getattr(format, "kinds", {})}
    return datasets.Features(
        {name: _feature_of_type(kinds.get(name, "json"), datasets) for name in format.columns}
    )


def _feature_of_type(kind: str, datasets: Any) -> Any:
    if kind.startswith("list of "):
        return datasets.List(_feature_of_type(kind.removeprefix("list of "), datasets))
    return datasets.Value(_PLAIN[kind]) if kind in _PLAIN else datasets.Json()
