"""A dataset version: read it, check it, hand it to a consumer.

Knows: the folder of a version. Does not know: how it was made.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from burnish.errors import ExportError, VersionConflict
from burnish.protocols import Format
from burnish.records import DatasetManifest
from burnish_exporters.dataset.parquet import loaded, read_dropped, read_rows
from burnish_exporters.dataset.publish import DROPPED, hash_of

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

    from burnish_exporters.formats import Export

PARTS = ("train", "heldout", "temporal", "train-contrast", "heldout-contrast", "temporal-contrast")


class DatasetVersion:
    """An immutable set of rows with its manifest; `open()` one or get one from `build_dataset`."""

    def __init__(self, path: Path, manifest: DatasetManifest) -> None:
        self.path = path
        self.manifest = manifest

    def __repr__(self) -> str:
        return f"DatasetVersion({self.id!r}, rows={self.manifest.rows})"

    @property
    def id(self) -> str:
        """`name@sha12`."""
        return self.manifest.id

    @classmethod
    def open(cls, path: Path | str) -> DatasetVersion:
        """The version in a folder.

        Raises:
            ExportError: If the folder holds no version.
        """
        folder = Path(path)
        try:
            found = msgspec.json.decode(
                (folder / "manifest.json").read_bytes(), type=DatasetManifest
            )
        except (OSError, msgspec.DecodeError) as problem:
            raise ExportError(
                f"no dataset version in {folder}: {problem}",
                "a folder with manifest.json and rows/",
                "burnish dataset list",
            ) from problem
        return cls(folder, found)

    def rows(self, split: str = "train") -> Iterator[dict[str, Any]]:
        """Yield the rows of a split as plain data, in the version's order.

        `messages`, `tools`, `calls` and `verdict` are lists and dicts; each message has its `loss`. The verified
        failures that a recipe with `contrast` keeps are the split "train-contrast".

        Raises:
            ExportError: If the version has no such split.
        """
        file = self.path / "rows" / f"{split}.parquet"
        if not file.is_file():
            if split in PARTS:
                return
            raise ExportError(
                f"{self.id} has no split {split!r}", f"one of {', '.join(self.manifest.rows)}"
            )
        for columns in read_rows(file):
            yield loaded(columns)

    def to(
        self,
        format: str,  # noqa: A002 - the contract's name
        split: str = "train",
        *,
        max_tokens: int | None = None,
    ) -> Dataset:
        """The rows of a split as a `datasets.Dataset` in a consumer's format.

        Args:
            format: Name of the format.
            split: Which rows.
            max_tokens: Rows with a longer model call, by captured counts, are left out and counted.

        Raises:
            ExportError: If the format is unknown, or a row breaks the consumer's rules.
        """
        return self.export(format, split, max_tokens=max_tokens).dataset()

    def stream(
        self,
        format: str,  # noqa: A002
        split: str = "train",
        *,
        max_tokens: int | None = None,
    ) -> IterableDataset:
        """The same as a `datasets.IterableDataset`: rows are made while they are read, not held in memory.

        Raises:
            ExportError: If the format is unknown; while it is read, if a row breaks the consumer's rules.
        """
        return self.export(format, split, max_tokens=max_tokens).stream()

    def write(
        self,
        format: str,  # noqa: A002
        path: Path | str,
        split: str = "train",
        *,
        max_tokens: int | None = None,
    ) -> Path:
        """Write the rows of a split as JSON lines in a consumer's format; returns the file.

        Raises:
            ExportError: If the format is unknown, or a row breaks the consumer's rules.
            VersionConflict: If the file exists.
        """
        return self.export(format, split, max_tokens=max_tokens).write(Path(path))

    def export(
        self,
        format: str,  # noqa: A002
        split: str = "train",
        *,
        max_tokens: int | None = None,
    ) -> Export:
        """The rows of a split in a consumer's format, to iterate, with a report of what was left out.

        Raises:
            ExportError: If the format is unknown, or needs failures that the version was built without.
        """
        from burnish_exporters.formats import Export, find_format

        found = find_format(format)
        self._rows_for(found, split)
        return Export(found, lambda: self._rows_for(found, split), max_tokens)

    def dropped(self) -> dict[str, tuple[str, str]]:
        """The runs that came in and left: by id, the stage and the reason."""
        return read_dropped(self.path / DROPPED)

    def verify(self) -> None:
        """Check that rows and recipe are those that the version's name was made from.

        Raises:
            VersionConflict: If a byte was changed since.
        """
        found = hash_of(self.manifest.recipe, self._stored())
        if found != self.manifest.sha256 or not self.id.endswith(f"@{found[:12]}"):
            raise VersionConflict(
                f"{self.id} was altered: its rows and recipe hash to {found[:12]}",
                f"{self.manifest.sha256[:12]}, as on the day it was published",
                f"burnish dataset rebuild {self.id}",
            )

    def _rows_for(self, form: Format, split: str) -> Iterator[dict[str, Any]]:
        """Rows of a split, with the failures beside them where a format contrasts the two.

        Raises:
            ExportError: If the format needs failures, and the version was built without.
        """
        if not getattr(form, "contrast", False):
            return self.rows(split)
        if not self.manifest.recipe.get("contrast"):
            raise ExportError(
                f"{self.id} holds no failures, which {form.name} needs",
                "a version that was built with contrast",
                'build_dataset(..., recipe={"contrast": True})',
            )
        return itertools.chain(self.rows(split), self.rows(f"{split}-contrast"))

    def _stored(self) -> Iterator[dict[str, Any]]:
        for part in PARTS:
            file = self.path / "rows" / f"{part}.parquet"
            if file.is_file():
                yield from read_rows(file)
