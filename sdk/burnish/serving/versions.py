"""Where an adapter's files lie, and which version a folder holds.

Knows: `<home>/adapters/<name@sha12>`, folders given by path, the manifest's name.
Does not know: publication and pointers (burnish.adapters).
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import msgspec

from burnish.records import AdapterManifest
from burnish.settings import current

_FILES = ("adapter_model.safetensors", "adapter_config.json")
_MANIFEST = "burnish.json"


def find_version(adapter: str) -> Path | None:
    """The folder of an adapter given as a version of the workspace or as a path; none if absent."""
    if "/" not in adapter and "\\" not in adapter and adapter not in ("", ".", ".."):
        folder = current().home / "adapters" / adapter
        if (folder / _FILES[1]).is_file():
            return folder.resolve()
    folder = Path(adapter).expanduser()
    return folder.resolve() if adapter and (folder / _FILES[1]).is_file() else None


def version_of(folder: Path) -> str:
    """The version that a folder holds: its manifest's id, else its name and content hash.

    A folder whose files were written anew holds another version.
    """
    names = (*_FILES, _MANIFEST)
    files = [folder / name for name in names if (folder / name).is_file()]
    return _version_of(folder, tuple(file.stat().st_mtime_ns for file in files))


@functools.lru_cache(maxsize=1024)
def _version_of(folder: Path, written_ns: tuple[int, ...]) -> str:
    try:
        manifest = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=AdapterManifest)
    except (OSError, msgspec.DecodeError):
        return f"{folder.name.partition('@')[0]}@{content_sha256(folder)[:12]}"
    return manifest.id


def content_sha256(folder: Path) -> str:
    """Hash over the weights and the configuration of an adapter folder."""
    digest = hashlib.sha256()
    for name in _FILES:
        path = folder / name
        if path.is_file():
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
