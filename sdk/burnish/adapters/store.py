"""Store adapter versions on disk: named by content, published atomically, never changed.

home/adapters/support@1a2b3c4d5e6f/
adapter_model.safetensors  adapter_config.json   the name is a hash over these two
burnish.json                                     AdapterManifest: its origin
fingerprint.json  card.md                        further files, as the trainer left them
SHA256SUMS                                       hash of every other file
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from burnish.config.nearest_names import find_nearest
from burnish.errors import RegistryError, UnknownAdapter
from burnish.files.storage import BROKEN_JSON, sync_path, sync_tree
from burnish.journal.layout import ensure_home
from burnish.records import AdapterManifest

WEIGHTS, CONFIG, MANIFEST, SUMS = (
    "adapter_model.safetensors",
    "adapter_config.json",
    "burnish.json",
    "SHA256SUMS",
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ID = re.compile(rf"({_NAME.pattern})@[0-9a-f]{{12}}")


def adapter_id(folder: Path, name: str) -> tuple[str, str]:
    """Return the version's name `name@sha12` and the full hash over its weights and config.

    The config is hashed as JSON: layout and key order do not matter.

    Raises:
        RegistryError: If the name is invalid or one of the two files is missing.
    """
    if not _NAME.fullmatch(name):
        raise RegistryError(
            f"adapter name {name!r}",
            "letters, digits, '.', '_' and '-'",
            "use the name of its agent",
        )
    digest = hashlib.sha256()
    for part in (
        _hash_file(_require_file(folder, WEIGHTS)),
        _hash_config(_require_file(folder, CONFIG)),
    ):
        digest.update(part)
    sha256 = digest.hexdigest()
    return f"{name}@{sha256[:12]}", sha256


class AdapterStore:
    """The adapter versions of one workspace.

    Args:
        home: Folder of the workspace.
    """

    def __init__(self, home: Path) -> None:
        self.home = Path(home)
        self.folder = self.home / "adapters"

    def publish(self, folder: Path, manifest: AdapterManifest) -> AdapterManifest:
        """Copy a finished adapter into the store, atomically.

        The store fills in id and hash of the manifest. Publishing the same weights and config again
        returns the existing manifest.

        Raises:
            RegistryError: If files are missing, the manifest names another version, or the stored
                version of that name was altered.
        """
        version, sha256 = adapter_id(folder, manifest.name)
        if manifest.id not in ("", version):
            raise RegistryError(
                f"manifest names {manifest.id}, the files are {version}",
                "the manifest of these files",
                "publish with id='' to have it filled in",
            )
        if (self.folder / version).exists():
            self.verify(version)
            return self.get(version)
        ensure_home(self.home)
        manifest = msgspec.structs.replace(manifest, id=version, sha256=sha256)
        incoming = self.folder / f".incoming-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            shutil.copytree(folder, incoming, ignore=shutil.ignore_patterns(".*", SUMS, MANIFEST))
            (incoming / MANIFEST).write_bytes(
                msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
            )
            _seal_folder(incoming)
            self._put_in_place(incoming, version)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return self.get(version)

    def path(self, version: str) -> Path:
        """Return the folder of a version.

        Raises:
            UnknownAdapter: If the store does not hold it.
        """
        folder = self.folder / version
        if _ID.fullmatch(version) and (folder / MANIFEST).is_file():
            return folder
        held = [manifest.id for manifest in self.list()]
        nearest = find_nearest(version, held)
        near = [nearest] if nearest else held[-3:]
        raise UnknownAdapter(
            f"no adapter {version!r} in {self.folder}",
            f"one like {', '.join(near)}" if near else "a version made by burnish retrain",
            "burnish adapters list",
        )

    def get(self, version: str) -> AdapterManifest:
        """Return the manifest of a version.

        Raises:
            UnknownAdapter: If the store does not hold it.
            RegistryError: If its manifest cannot be read.
        """
        path = self.path(version) / MANIFEST
        try:
            return msgspec.json.decode(path.read_bytes(), type=AdapterManifest)
        except (OSError, *BROKEN_JSON) as problem:
            raise RegistryError(
                f"{path} cannot be read: {problem}", "the manifest as published", _RESTORE
            ) from problem

    def list(self) -> Sequence[AdapterManifest]:
        """List all versions, oldest first; skip folders with an unreadable manifest."""
        found = []
        for folder in self.folder.glob("*@*") if self.folder.is_dir() else ():
            try:
                found.append(
                    msgspec.json.decode((folder / MANIFEST).read_bytes(), type=AdapterManifest)
                )
            except (OSError, *BROKEN_JSON):
                continue
        return sorted(found, key=lambda manifest: (manifest.created_at, manifest.id))

    def verify(self, version: str) -> None:
        """Compare every file of a version with its name and its recorded hash.

        Raises:
            UnknownAdapter: If the store does not hold it.
            RegistryError: If anything was altered, is missing, or was added.
        """
        folder = self.path(version)
        name = version.rpartition("@")[0]
        problems = [] if adapter_id(folder, name)[0] == version else ["weights or config"]
        recorded = dict(_read_recorded_hashes(folder))
        present = {_relative_path(file, folder): file for file in _list_files(folder)}
        for relative in sorted(recorded.keys() | present.keys()):
            file = present.get(relative)
            if file is None or _hash_file(file).hex() != recorded.get(relative):
                problems.append(relative)
        if problems:
            raise RegistryError(
                f"adapter {version} was altered: {', '.join(problems)}",
                "the files as they were published",
                _RESTORE,
            )

    def _put_in_place(self, incoming: Path, version: str) -> None:
        try:
            incoming.rename(self.folder / version)
        except OSError:
            if not (self.folder / version / MANIFEST).is_file():
                raise
            self.verify(version)  # another process published the same content first
        sync_path(self.folder)


_RESTORE = "train it again, or restore the folder from a backup"


def _require_file(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise RegistryError(
            f"{folder} has no {name}", f"{WEIGHTS} and {CONFIG}", "save it with save_pretrained()"
        )
    return path


def _hash_config(path: Path) -> bytes:
    try:
        config = msgspec.json.decode(path.read_bytes())
    except BROKEN_JSON as problem:
        raise RegistryError(
            f"{path} is not JSON: {problem}", "a LoRA config", _RESTORE
        ) from problem
    return hashlib.sha256(msgspec.json.encode(config, order="sorted")).digest()


def _hash_file(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _list_files(folder: Path) -> Iterator[Path]:
    """Yield every file below the folder except the list of hashes."""
    return (
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _relative_path(path, folder) != SUMS
    )


def _relative_path(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _read_recorded_hashes(folder: Path) -> Iterator[tuple[str, str]]:
    path = folder / SUMS
    lines = path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else ()
    for line in lines:
        digest, _, relative = line.partition("  ")
        yield relative, digest


def _seal_folder(folder: Path) -> None:
    """Record all hashes, make the files private and read-only, and sync everything to disk."""
    lines = [
        f"{_hash_file(file).hex()}  {_relative_path(file, folder)}\n"
        for file in _list_files(folder)
    ]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
    sync_tree(folder, file_mode=0o400)
