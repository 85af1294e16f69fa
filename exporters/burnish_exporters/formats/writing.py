"""Rendered rows as a `datasets.Dataset` or as JSON lines.

Knows: how rows reach Arrow and files unchanged. Does not know: any format.

Values that differ in shape from row to row (messages, tools, arguments) are stored as JSON features: Arrow would
otherwise give each of them every key of all the others, with null.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from burnish.errors import ExportError, VersionConflict
from burnish.protocols import Format

if TYPE_CHECKING:
    from datasets import Dataset

_LISTS = ("messages", "prompt", "completion", "chosen", "rejected", "conversations")


def checked(format: Format, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:  # noqa: A002
    """Yield rendered rows, each checked by the consumer's rules.

    Raises:
        ExportError: If a row breaks them.
    """
    for row in format.render(rows):
        format.check(row)
        yield row


def to_dataset(format: Format, rows: Iterable[dict[str, Any]]) -> Dataset:  # noqa: A002
    """The rows in a format as a dataset in memory."""
    try:
        import datasets
    except ImportError as problem:
        raise ExportError(
            "the package datasets is not installed", "datasets>=5", "pip install 'burnish[export]'"
        ) from problem
    rendered = list(checked(format, rows))
    columns = {name: [row.get(name) for row in rendered] for name in format.columns}
    features = {name: _feature(name, values) for name, values in columns.items()}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def write_lines(format: Format, rows: Iterable[dict[str, Any]], path: Path) -> Path:  # noqa: A002
    """Write rows as JSON lines; the file appears when it is whole.

    Raises:
        VersionConflict: If the file exists.
    """
    if path.exists():
        raise VersionConflict(f"{path} exists", "a new file", f"rm {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("wb") as file:
            for row in checked(format, rows):
                file.write(msgspec.json.encode(row) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _feature(name: str, values: list[Any]) -> Any:
    """The feature of a column: plain types as they are, everything structured as JSON."""
    import datasets

    known = [value for value in values if value is not None]
    if name in _LISTS and all(isinstance(value, list) for value in known):
        return datasets.List(datasets.Json())
    kinds = {type(value) for value in known}
    plain = {str: "string", bool: "bool", int: "int64", float: "float64"}
    if len(kinds) == 1 and (kind := kinds.pop()) in plain:
        return datasets.Value(plain[kind])
    if known and all(isinstance(v, list) and all(type(i) is int for i in v) for v in known):
        return datasets.List(datasets.Value("int64"))
    return datasets.Json()
