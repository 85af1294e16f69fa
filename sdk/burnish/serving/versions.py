"""Where an adapter's files lie, and which version a folder holds.

Knows: `<home>/adapters/<name@sha12>`, folders given by path, the manifest's name.
Does not know: publication and pointers (burnish.adapters).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from pathlib import Path
from typing import Any

import msgspec

from burnish.errors import RegistryError, ServingError
from burnish.files.paths import is_version_id
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

    Raises:
        ServingError: If the manifest names another content than that of the folder.
    """
    manifest = checked_manifest(folder)
    if manifest is not None and manifest.id:
        return manifest.id
    return f"{folder.name.partition('@')[0]}@{content_sha256(folder)[:12]}"


def checked_manifest(folder: Path) -> AdapterManifest | None:
    """The manifest of a folder whose weights and configuration are those that it names.

    The files are hashed when they are first looked at, and again once one of them was written.

    Raises:
        ServingError: If the name is not that of the content: a file was changed after publication.
    """
    return _checked_manifest(folder, signature_of(folder))


def signature_of(folder: Path) -> tuple[tuple[int, int, int, int], ...]:
    """What changes when a file of an adapter is written: number, size and times of each."""
    files = (folder / name for name in (*_FILES, _MANIFEST))
    found = (file.stat() for file in files if file.is_file())
    return tuple((s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in found)


@functools.lru_cache(maxsize=1024)
def _checked_manifest(folder: Path, signature: tuple[Any, ...]) -> AdapterManifest | None:
    from burnish.adapters.store import adapter_id

    manifest: AdapterManifest | None = None
    with contextlib.suppress(OSError, msgspec.DecodeError):
        content = (folder / _MANIFEST).read_bytes()
        manifest = msgspec.json.decode(content, type=AdapterManifest)
    named = manifest.id if manifest else ""
    if not named and (folder / _MANIFEST).exists() and is_version_id(folder.name):
        named = folder.name  # its manifest was damaged: the folder's name says what it must hold
    if not named:
        return manifest
    try:
        name = manifest.name if manifest and manifest.id else named.rpartition("@")[0]
        found = adapter_id(folder, name)[0]
    except RegistryError as error:
        found = str(error)
    if found != named:
        raise ServingError(
            f"{folder} says that it is {named}, and its content is {found}",
            "the files as they were published",
            "publish it again, or restore the folder from a backup",
        )
    return manifest


def content_sha256(folder: Path) -> str:
    """Hash over the weights and the configuration of an adapter folder."""
    digest = hashlib.sha256()
    for name in _FILES:
        path = folder / name
        if path.is_file():
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
