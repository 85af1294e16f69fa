"""Write rendered rows as a `datasets.Dataset`, as a stream, as JSON lines or as Parquet."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.errors import ExportError, VersionConflict
from burnish.files.storage import atomic_write
from burnish.protocols import Format
from burnish_exporters.formats.columns import features_of
from burnish_exporters.rows.canonical_json import ordered_json

_GROUP = 512

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset


def to_dataset(format: Format, rendered: Iterable[dict[str, Any]]) -> Dataset:  # noqa: A002
    """Return rendered rows as a dataset in memory."""
    datasets = _import_datasets()
    features = features_of(format)
    columns: dict[str, list[Any]] = {name: [] for name in format.columns}
    for row in rendered:
        for name, values in columns.items():
            values.append(row.get(name))
    return datasets.Dataset.from_dict(columns, features=features)


def to_stream(format: Format, rendered: Iterable[dict[str, Any]]) -> IterableDataset:  # noqa: A002
    """Return rendered rows as a dataset that reads them again at each iteration."""
    datasets = _import_datasets()
    features = features_of(format)

    def rows() -> Iterator[dict[str, Any]]:
        for row in rendered:
            yield {name: row.get(name) for name in format.columns}

    return datasets.IterableDataset.from_generator(rows, features=features)


def write_lines(rendered: Iterable[dict[str, Any]], path: Path) -> Path:
    """Write rows as JSON lines; the file appears when it is complete.

    Raises:
        VersionConflict: If the file exists.
    """
    if path.exists():
        raise VersionConflict(f"{path} exists", "a new file", f"rm {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (ordered_json(row) + b"\n" for row in rendered)
    atomic_write(path, lines, mode=0o666)  # outside the workspace the umask decides
    return path


def write_parquet(form: Format, rendered: Iterable[dict[str, Any]], path: Path) -> Path:
    """Write rows as Parquet, in the columns that the format declares; the file appears when it is complete.

    Raises:
        ExportError: If the format has no columns for Arrow.
        VersionConflict: If the file exists.
    """
    declared = getattr(form, "arrow_schema", None)
    if declared is None:
        raise ExportError(
            f"the format {form.name} is written as JSON lines", "a file that ends with .jsonl"
        )
    if path.exists():
        raise VersionConflict(f"{path} exists", "a new file", f"rm {path}")
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, draft = declared(), path.with_name(f".{path.name}.draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with pq.ParquetWriter(draft, schema) as writer:
            rows = iter(rendered)
            while group := list(itertools.islice(rows, _GROUP)):
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _import_datasets() -> Any:
    try:
        import datasets
    except ImportError as problem:
        raise ExportError(
            "the package datasets is not installed", "datasets>=5", "pip install 'burnish[export]'"
        ) from problem
    return datasets
