"""Write a dataset version atomically.

Rows and a recipe become a hash and a folder. `Draft` writes the folder under a hidden name and
renames it; a version that exists is never written again.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from burnish.errors import ExportError
from burnish.files.storage import make_private_folder, sync_path, sync_tree
from burnish.records import DatasetManifest
from burnish_exporters.dataset.card import render_card
from burnish_exporters.dataset.parquet import RowWriter, write_dropped
from burnish_exporters.dataset.version_folder import make_version_folder
from burnish_exporters.rows.canonical_json import stable_json

DROPPED = "dropped.parquet"

_ENCODER = msgspec.msgpack.Encoder(order="sorted")


class Draft:
    """A version that is being written.

    Args:
        folder: Folder of all versions.
        recipe: The recipe as plain data.
    """

    def __init__(self, folder: Path, recipe: object) -> None:
        make_version_folder(folder)
        self._home = folder
        self._folder = folder / f".draft-{uuid.uuid4().hex}"
        make_private_folder(self._folder / "rows")
        self._hash = hashlib.sha256(stable_json(recipe) + b"\n")
        self._files: dict[str, RowWriter] = {}
        self.rows: Counter[str] = Counter()

    def add(self, columns: dict[str, Any], part: str) -> None:
        """Append a row's columns to a part; the caller gives rows in an order that depends on the rows alone."""
        self._hash.update(_encode_columns(columns))
        if part not in self._files:
            self._files[part] = RowWriter(self._folder / "rows" / f"{part}.parquet")
        self._files[part].add(columns)
        self.rows[part] += 1

    def note_dropped(self, gone: Iterable[tuple[str, str, str]]) -> None:
        """Write which runs left at which stage and why, beside the rows and outside the hash."""
        write_dropped(self._folder / DROPPED, sorted(gone))

    def digest(self) -> str:
        """Return the SHA-256 over the recipe and all rows so far, in hex."""
        return self._hash.hexdigest()

    def publish(self, manifest: DatasetManifest) -> Path:
        """Publish the version under its name; an existing version stays unchanged.

        Raises:
            ExportError: If something else has its name.
        """
        for file in self._files.values():
            file.close()
        manifest_json = msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2)
        (self._folder / "manifest.json").write_bytes(manifest_json + b"\n")
        (self._folder / "card.md").write_text(render_card(manifest), "utf-8")
        sync_tree(self._folder)
        target = self._home / manifest.id
        try:
            self._folder.rename(target)
        except OSError as problem:
            if not (target / "manifest.json").is_file():
                raise ExportError(
                    f"{target} exists and is not a dataset version: {problem.strerror}",
                    "a free path",
                    f"mv {target} {target}.old, then build again",
                ) from problem
            self.discard()
        sync_path(self._home)
        return target

    def discard(self) -> None:
        """Remove the draft."""
        shutil.rmtree(self._folder, ignore_errors=True)


def hash_version(recipe: object, rows: Iterable[dict[str, Any]]) -> str:
    """Hash a recipe and the stored columns of rows with SHA-256, as publication does."""
    found = hashlib.sha256(stable_json(recipe) + b"\n")
    for columns in rows:
        found.update(_encode_columns(columns))
    return found.hexdigest()


def _encode_columns(columns: dict[str, Any]) -> bytes:
    """Encode a row to bytes that are the same before and after storage."""
    return _ENCODER.encode(columns)
