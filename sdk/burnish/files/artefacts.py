"""Read files of dataset versions, adapter versions and deployments, skipping damaged ones.

`forget`, `lineage` and `burnish doctor` read files that other parts of burnish wrote. They skip an
unreadable file, and `find_unreadable` names it.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.files.parquet_files import read_parquet
from burnish.files.storage import open_regular, read_regular

MANIFESTS = {"adapter": "burnish.json", "dataset": "manifest.json"}
"""Name of the manifest in a version's folder."""
_ABSENT = {"adapter": "adapter_model.safetensors", "dataset": "rows"}
"""A file that a version's folder holds beside its manifest; a folder with neither is not a version."""


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Return the manifest of a version; None if it cannot be read or has another form."""
    try:
        content = json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    lists = (content.get("parents") or [], content.get("sources") or [])
    if not all(isinstance(given, list) for given in lists):
        return None
    return content if isinstance(content.get("extras") or {}, dict) else None


def list_parents(manifest: dict[str, Any]) -> list[str]:
    """Return the versions that a manifest names, each once."""
    named = [*(manifest.get("parents") or ()), manifest.get("dataset")]
    return list(dict.fromkeys(str(name) for name in named if name))


def read_columns(path: Path, names: list[str]) -> list[dict[str, Any]] | None:
    """Return columns of a dataset's rows; empty if one is missing, None if the file is unreadable."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        rows = pa.BufferReader(read_regular(path))
        if not set(names) <= set(parquet.read_schema(rows).names):
            return []
        rows.seek(0)
        return read_parquet(rows, names).to_pylist()
    except (OSError, pa.ArrowException, ValueError):
        return None


def list_row_files(home: Path) -> list[Path]:
    """Return the files with rows of all published dataset versions."""
    return sorted((home / "datasets").glob("[!.]*/rows/*.parquet"))


def find_unreadable(home: Path) -> list[Path]:
    """Return the unreadable manifests, row files and control database of a workspace."""
    return sorted({*_find_bad_manifests(home), *_find_bad_rows(home), *_find_bad_control(home)})


def _find_bad_manifests(home: Path) -> Iterator[Path]:
    for kind, name in MANIFESTS.items():
        for folder in home.glob(f"{kind}s/[!.]*@*"):
            is_version = any(map(os.path.lexists, (folder / name, folder / _ABSENT[kind])))
            if (is_version or not folder.is_dir()) and read_manifest(folder / name) is None:
                yield folder / name if is_version else folder


def _find_bad_rows(home: Path) -> Iterator[Path]:
    paths = list_row_files(home)
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        return
    for path in paths:
        try:
            os.close(open_regular(path))
            parquet.read_schema(path)
        except (OSError, pa.ArrowException, ValueError):
            yield path


def _find_bad_control(home: Path) -> Iterator[Path]:
    path = home / "control.sqlite"
    if not os.path.lexists(path):
        return
    try:
        os.close(open_regular(path))
        base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            whole = base.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
        finally:
            base.close()
    except (OSError, sqlite3.DatabaseError) as error:
        whole = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
    if not whole:
        yield path
