"""Find the files of an adapter, and the version that a folder holds.

`find_version` searches `<home>/adapters/<name@sha12>` and paths; `version_of` reads a folder.
`burnish.adapters` publishes versions and moves pointers.
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
from burnish.files.storage import BROKEN_JSON
from burnish.records import AdapterManifest
from burnish.settings import current

_FILES = ("adapter_model.safetensors", "adapter_config.json")
_MANIFEST = "burnish.json"


def find_version(adapter: str) -> Path | None:
    """Find the folder of an adapter, given as a version of the workspace or as a path; else None."""
    if "/" not in adapter and "\\" not in adapter and adapter not in ("", ".", ".."):
        folder = current().home / "adapters" / adapter
        if (folder / _FILES[1]).is_file():
            return folder.resolve()
    folder = Path(adapter).expanduser()
    return folder.resolve() if adapter and (folder / _FILES[1]).is_file() else None


def version_of(folder: Path) -> str:
    """Return the version that a folder holds: its manifest's id, else its name and content hash.

    Raises:
        ServingError: If the manifest does not match the content of the folder.
    """
    manifest = checked_manifest(folder)
    if manifest is not None and manifest.id:
        return manifest.id
    return f"{folder.name.partition('@')[0]}@{content_sha256(folder)[:12]}"


def checked_manifest(folder: Path) -> AdapterManifest | None:
    """Read the manifest of a folder and verify that weights and configuration match it.

    The files are hashed on the first call, and again after one of them was written.

    Raises:
        ServingError: If a file was changed after publication.
    """
    return _checked_manifest(folder, signature_of(folder))


def signature_of(folder: Path) -> tuple[tuple[int, int, int, int], ...]:
    """Return number, size and times of an adapter's files, which change when one is written."""
    files = (folder / name for name in (*_FILES, _MANIFEST))
    found = (file.stat() for file in files if file.is_file())
    return tuple((s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in found)


@functools.lru_cache(maxsize=1024)
def _checked_manifest(folder: Path, signature: tuple[Any, ...]) -> AdapterManifest | None:
    from burnish.adapters.store import adapter_id

    manifest: AdapterManifest | None = None
    with contextlib.suppress(OSError, *BROKEN_JSON):
        content = (folder / _MANIFEST).read_bytes()
        manifest = msgspec.json.decode(content, type=AdapterManifest)
    named = manifest.id if manifest else ""
    if not named and (folder / _MANIFEST).exists() and is_version_id(folder.name):
        named = folder.name  # the manifest is damaged: the folder's name states the content
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
    """Hash the weights and the configuration of an adapter folder."""
    digest = hashlib.sha256()
    for name in _FILES:
        path = folder / name
        if path.is_file():
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
