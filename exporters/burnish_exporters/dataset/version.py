"""Read a dataset version, check it, and hand it to a consumer. draft.py writes versions.

How it works: the rows of a version are hashed when a process reads them first, and again when a
file has changed since (size, time, inode). Rows that do not hash to the version's name are never
returned.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from burnish.errors import ExportError, VersionConflict
from burnish.files.paths import is_version_id
from burnish.files.storage import BROKEN_JSON
from burnish.protocols import Format
from burnish.records import DatasetManifest
from burnish_exporters.dataset.draft import DROPPED, hash_version
from burnish_exporters.dataset.parquet import decode_row, keeps_order, read_dropped, read_rows

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

    from burnish_exporters.formats import Export

PARTS = ("train", "heldout", "temporal", "train-contrast", "heldout-contrast", "temporal-contrast")

FileStates = tuple[str, str, dict[str, Any], tuple[tuple[str, int, int, int, int], ...]]
_CHECKED: dict[
    str, FileStates
] = {}  # by folder: the state of its files when they were found unaltered


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
        """Open the version in a folder.

        Raises:
            ExportError: If the folder holds no version.
        """
        folder = Path(path)
        try:
            found = msgspec.json.decode(
                (folder / "manifest.json").read_bytes(), type=DatasetManifest
            )
        except (OSError, *BROKEN_JSON) as problem:
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
            VersionConflict: If the files are not those that were published.
        """
        if split not in PARTS:
            raise ExportError(
                f"{self.id} has no split {split!r}", f"one of {', '.join(self.manifest.rows)}"
            )
        self.check_unaltered()
        file = self.path / "rows" / f"{split}.parquet"
        if file.is_file():
            ordered = keeps_order(file)
            for columns in read_rows(file):
                yield decode_row(columns, keeps_order=ordered)

    def to(
        self,
        format: str,  # noqa: A002 - the contract's name
        split: str = "train",
        *,
        max_tokens: int | None = None,
    ) -> Dataset:
        """Return the rows of a split as a `datasets.Dataset` in a consumer's format.

        Args:
            format: Name of the format.
            split: Split to read.
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
        """Return the rows as a `datasets.IterableDataset`, which makes rows while it is read.

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
        template: Path | str | None = None,
    ) -> Export:
        """Return the rows of a split in a consumer's format, to iterate, with a report of the rows that were left out.

        Args:
            format: Name of the format.
            split: Split to read.
            max_tokens: Rows with a longer model call, by captured counts, are left out and counted.
            template: Chat template of the model to train (a Jinja file or a model's folder); rows that it would not
                render as they were served are left out and counted.

        Raises:
            ExportError: If the format is unknown, needs failures that the version was built without, or holds no
                conversations that a template could render.
        """
        from burnish_exporters.formats import Export, find_format
        from burnish_exporters.formats.templates.rendering import read_template
        from burnish_exporters.formats.templates.template_check import WAYS

        found = find_format(format)
        self._rows_for(found, split)
        if template is not None and found.name not in WAYS:
            raise ExportError(
                f"the format {found.name} is not checked against a chat template",
                f"one of {', '.join(WAYS)}",
                f"burnish dataset check {self.id} --template {template}",
            )
        chat = None if template is None else read_template(Path(template))
        return Export(found, lambda: self._rows_for(found, split), max_tokens, chat)

    def dropped(self) -> dict[str, tuple[str, str]]:
        """Return the runs that entered and left: by id, the stage and the reason."""
        return read_dropped(self.path / DROPPED)

    def verify(self) -> None:
        """Check that rows and recipe hash to the version's name, and that the manifest fits them.

        Raises:
            VersionConflict: If a byte has changed since publication.
        """
        before = self._state_of_files()
        counts: Counter[str] = Counter()
        try:
            found = hash_version(self.manifest.recipe, self._stored_columns(counts))
        except (OSError, ValueError, KeyError) as problem:  # pyarrow's errors are among them
            raise self._altered_error(f"its rows cannot be read: {problem}") from problem
        if found != self.manifest.sha256 or not self.id.endswith(f"@{found[:12]}"):
            raise self._altered_error(f"its rows and recipe hash to {found[:12]}")
        if problem := self._find_misfit(counts):
            raise self._altered_error(problem)
        _CHECKED[str(self.path.absolute())] = before

    def check_unaltered(self) -> None:
        """Check the version once; after that only when one of its files has changed.

        Raises:
            VersionConflict: If the files differ from the published ones.
        """
        if _CHECKED.get(str(self.path.absolute())) != self._state_of_files():
            self.verify()

    def _state_of_files(self) -> FileStates:
        """Return the cheap signs of a changed file; the identity of the version is part of them."""
        found: list[tuple[str, int, int, int, int]] = []
        for part in PARTS:
            file = self.path / "rows" / f"{part}.parquet"
            with contextlib.suppress(FileNotFoundError):
                state = file.stat()
                found.append(
                    (part, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
                )
        return (self.id, self.manifest.sha256, self.manifest.recipe, tuple(found))

    def _find_misfit(self, counts: Mapping[str, int]) -> str | None:
        """Return what in the manifest contradicts the rows or the folder's name; None if nothing does."""
        manifest, folder = self.manifest, self.path.absolute().name
        if not is_version_id(self.id) or not self.id.startswith(f"{manifest.name}@"):
            return f"its manifest has the id {self.id!r} and the name {manifest.name!r}"
        if is_version_id(folder) and folder != self.id:
            return f"its folder is {folder}"
        if manifest.agent != manifest.recipe.get("agent", manifest.agent):
            return f"its manifest names the agent {manifest.agent!r}, its recipe another"
        if {part: count for part, count in manifest.rows.items() if count} != dict(counts):
            return f"its manifest counts {manifest.rows}, its files hold {dict(counts)}"
        return None

    def _altered_error(self, problem: str) -> VersionConflict:
        return VersionConflict(
            f"{self.id} was altered: {problem}",
            f"{self.manifest.sha256[:12]}, its published hash",
            f"burnish dataset rebuild {self.id}",
        )

    def _rows_for(self, form: Format, split: str) -> Iterator[dict[str, Any]]:
        """Return the rows of a split, with the failures beside them if a format contrasts the two.

        Raises:
            ExportError: If the format needs failures, and the version was built without them.
        """
        if not getattr(form, "contrast", False):
            return self.rows(split)
        if not self.manifest.recipe.get("contrast"):
            raise ExportError(
                f"{self.id} holds no failures, which {form.name} needs",
                "a version built with contrast",
                'build_dataset(..., recipe={"contrast": True})',
            )
        return itertools.chain(self.rows(split), self.rows(f"{split}-contrast"))

    def _stored_columns(self, counts: Counter[str]) -> Iterator[dict[str, Any]]:
        for part in PARTS:
            file = self.path / "rows" / f"{part}.parquet"
            if file.is_file():
                for columns in read_rows(file):
                    counts[part] += 1
                    yield columns
